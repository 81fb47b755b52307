"""What is told as Events."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_api.captures import DriftCounts, LastDrift, TrafficCaptureStatus
from capture_api.conditions import Condition
from capture_operator.happenings import EventType, happenings


def status(
    *conditions: tuple[str, str, str], drift: DriftCounts | None = None, message: str = "m"
) -> TrafficCaptureStatus:
    """Make a status of conditions (type, status, reason) and drift."""
    return TrafficCaptureStatus(
        conditions=tuple(
            Condition(type=kind, status=state, reason=reason, message=message)
            for kind, state, reason in conditions
        ),
        drift=drift or DriftCounts(),
    )


NEW = status()
PROGRAMMED = status(("Ready", "True", "AllProgrammed"))
FAILED = status(("Ready", "False", "Failed"))
INVALID = status(("Ready", "False", "InvalidSpec"), ("Stalled", "True", "InvalidSpec"))
LOST = status(("Stalled", "True", "NodeUnreachable"))
DEAF = status(("ProxyNotListening", "True", "PortClosed"))
CONFLICT = status(("ChainConflict", "True", "ChainConflict"))
REFUSED = status(("StartRefused", "True", "StartRefused"))
UNGUARDED = status(("StartUnguarded", "True", "NRINotConnected"))
ACTOR = "iptables (pid 4242)"
DRIFT = LastDrift(time="t", pod="web-0", kind="Flushed", expected="4 chains", actor=ACTOR)

statuses = st.sampled_from(
    [NEW, PROGRAMMED, FAILED, INVALID, LOST, DEAF, CONFLICT, REFUSED, UNGUARDED]
)


def reasons(old: TrafficCaptureStatus, new: TrafficCaptureStatus) -> list[str]:
    """Tell two statuses apart, by reasons only."""
    return [happening.reason for happening in happenings(old, new)]


@given(statuses, st.text(max_size=3))
def test_an_unchanged_status_tells_nothing(one: TrafficCaptureStatus, message: str) -> None:
    """So that an operator that restarts repeats nothing; other words are no news either."""
    assert reasons(one, one) == []
    if one is not INVALID:
        conditions = tuple(
            msgspec.structs.replace(item, message=message) for item in one.conditions
        )
        assert reasons(one, msgspec.structs.replace(one, conditions=conditions)) == []


@pytest.mark.parametrize(
    ("new", "reason", "kind"),
    [
        (PROGRAMMED, "Programmed", EventType.NORMAL),
        (FAILED, "Failed", EventType.WARNING),
        (INVALID, "InvalidSpec", EventType.WARNING),
        (LOST, "NodeUnreachable", EventType.WARNING),
        (DEAF, "ProxyNotListening", EventType.WARNING),
        (CONFLICT, "ChainConflict", EventType.WARNING),
        (REFUSED, "StartRefused", EventType.WARNING),
        (UNGUARDED, "StartUnguarded", EventType.WARNING),
    ],
)
def test_a_change_is_told_once(new: TrafficCaptureStatus, reason: str, kind: EventType) -> None:
    """With the condition's message."""
    (happening,) = happenings(NEW, new)
    assert (happening.reason, happening.type, happening.message) == (reason, kind, "m")


def test_recovery_is_told() -> None:
    """After a failure the capture is programmed again."""
    assert reasons(FAILED, PROGRAMMED) == ["Programmed"]


def test_another_mistake_in_the_spec_is_told() -> None:
    """Whoever corrects one wants to know of the next."""
    other = status(("Stalled", "True", "InvalidSpec"), message="another")
    assert reasons(INVALID, other) == ["InvalidSpec"]


def test_drift_is_told_with_what_and_where_and_who() -> None:
    """Pod, kind, expected and found, actor; what is not known is left out."""
    before, after = DriftCounts(detected=1), DriftCounts(detected=2, last=DRIFT)
    (happening,) = happenings(status(drift=before), status(drift=after))
    assert happening.type is EventType.WARNING
    assert happening.message == "pod web-0: Flushed; expected 4 chains; by iptables (pid 4242)"


def test_a_repair_is_told() -> None:
    """With how many there were since the last status."""
    after = DriftCounts(repaired=3, last=DRIFT)
    (happening,) = happenings(NEW, status(drift=after))
    assert (happening.reason, happening.type) == ("Repaired", EventType.NORMAL)
    assert happening.message == "repaired 3 times, last in pod web-0"
