"""When a condition's status last changed."""

from capture_api.conditions import Condition, with_transition_times

NOW = "2026-01-02T00:00:00Z"
BEFORE = "2026-01-01T00:00:00Z"


def ready(status: str, reason: str = "Programmed", at: str = "") -> Condition:
    """Build a Ready condition."""
    return Condition(type="Ready", status=status, reason=reason, last_transition_time=at)


def test_a_new_condition_is_dated_now() -> None:
    """There was nothing before it."""
    assert with_transition_times([ready("True")], [], NOW) == (ready("True", at=NOW),)


def test_a_changed_status_is_dated_now() -> None:
    """True to False is a transition."""
    dated = with_transition_times([ready("False")], [ready("True", at=BEFORE)], NOW)
    assert dated == (ready("False", at=NOW),)


def test_another_reason_is_no_transition() -> None:
    """The time is of the status, as metav1.Condition says."""
    dated = with_transition_times(
        [ready("False", "Failed")], [ready("False", "Drifted", at=BEFORE)], NOW
    )
    assert dated == (ready("False", "Failed", at=BEFORE),)


def test_conditions_are_told_apart_by_type() -> None:
    """Another type's time is not taken over, and one that is gone stays gone."""
    stalled = Condition(
        type="Stalled", status="True", reason="Invalid", last_transition_time=BEFORE
    )
    assert with_transition_times([ready("True")], [stalled], NOW) == (ready("True", at=NOW),)
