"""What happened, to be told as Kubernetes Events: the difference between two statuses.

Derived from what was written before and what is written now, so an operator that restarts tells
nothing twice.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from capture_api.captures import LastDrift, TrafficCaptureStatus
from capture_api.conditions import Condition
from capture_api.node_captures import START_REFUSED


class EventType(StrEnum):
    """The two types of core/v1 Events."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Happening:
    """Something worth telling about a capture."""

    type: EventType
    reason: str
    message: str


RELEASED: Final = Happening(
    EventType.NORMAL, "Released", "deleted; no node reports its chains any more"
)

_WORTH_A_WARNING: Final = (
    "ProxyNotListening",
    "ChainConflict",
    "BackendConflict",
    "Contended",
    "AgentTooOld",
    START_REFUSED,
    "StartUnguarded",
)


def happenings(old: TrafficCaptureStatus, new: TrafficCaptureStatus) -> Iterator[Happening]:
    """Tell two statuses of a capture, one written after the other, apart."""
    before, after = _by_type(old), _by_type(new)
    yield from _readiness(before.get("Ready"), after.get("Ready"))
    yield from _stalls(before.get("Stalled"), after.get("Stalled"))
    yield from _drift(old, new)
    for kind in _WORTH_A_WARNING:
        condition = after.get(kind)
        if condition is not None and not _told(before.get(kind), condition):
            yield Happening(EventType.WARNING, kind, condition.message)


def _by_type(status: TrafficCaptureStatus) -> Mapping[str, Condition]:
    return {condition.type: condition for condition in status.conditions}


def _told(before: Condition | None, after: Condition) -> bool:
    return before is not None and (before.status, before.reason) == (after.status, after.reason)


def _became(before: Condition | None, after: Condition | None, reason: str) -> bool:
    if after is None or after.reason != reason:
        return False
    return before is None or (before.status, before.reason) != (after.status, after.reason)


def _readiness(before: Condition | None, after: Condition | None) -> Iterator[Happening]:
    if after is None:
        return
    if _became(before, after, "AllProgrammed"):
        yield Happening(EventType.NORMAL, "Programmed", after.message)
    if _became(before, after, "Failed"):
        yield Happening(EventType.WARNING, "Failed", after.message)


def _stalls(before: Condition | None, after: Condition | None) -> Iterator[Happening]:
    if after is None or after.status != "True":
        return
    # Another mistake in the spec is news; another node out of reach is in the condition.
    corrected = after.reason == "InvalidSpec" and before and before.message != after.message
    if corrected or not _told(before, after):
        yield Happening(EventType.WARNING, after.reason, after.message)


def _drift(old: TrafficCaptureStatus, new: TrafficCaptureStatus) -> Iterator[Happening]:
    last = new.drift.last
    if new.drift.detected > old.drift.detected:
        message = _drift_message(last) if last else "rules differ from the program"
        yield Happening(EventType.WARNING, "Drifted", message)
    repaired = new.drift.repaired - old.drift.repaired
    if repaired > 0:
        where = f", last in pod {last.pod}" if last else ""
        yield Happening(EventType.NORMAL, "Repaired", f"repaired {repaired} times{where}")


def _drift_message(last: LastDrift) -> str:
    details = (("expected", last.expected), ("found", last.found), ("by", last.actor))
    return "; ".join(
        [f"pod {last.pod}: {last.kind}", *(f"{name} {text}" for name, text in details if text)]
    )
