"""Status conditions as Kubernetes means them (`metav1.Condition`)."""

from collections.abc import Iterable

import msgspec

from capture_api.wire import WireStruct


class Condition(WireStruct, frozen=True, omit_defaults=False):
    """One observation: `status` is "True", "False" or "Unknown", `reason` a CamelCase word."""

    type: str
    status: str
    reason: str
    message: str = ""
    observed_generation: int = 0
    last_transition_time: str = ""


def with_transition_times(
    conditions: Iterable[Condition], previous: Iterable[Condition], now: str
) -> tuple[Condition, ...]:
    """Date each condition: `now` if its status changed, else when it last did."""
    before = {condition.type: condition for condition in previous}
    return tuple(
        msgspec.structs.replace(
            condition,
            last_transition_time=_transition_time(condition, before.get(condition.type), now),
        )
        for condition in conditions
    )


def _transition_time(condition: Condition, before: Condition | None, now: str) -> str:
    if before is None or before.status != condition.status:
        return now
    return before.last_transition_time
