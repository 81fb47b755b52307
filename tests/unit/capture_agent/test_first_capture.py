"""Whether a pod was captured in time, and how long it was exposed if not."""

import pytest
from msgspec.structs import replace

from capture_agent.first_capture import Moment, with_first_capture
from capture_agent.records import PROGRAMMED, Finding, PodRecord
from capture_api.node_captures import Captured, NetnsIdentity, PodState
from unit.capture_agent.captures import SANDBOX, program_spec, record

STARTED = 1000.0
SANDBOX_THEN = replace(SANDBOX, start_time=int(STARTED * 100))
NOW = Moment(wall=1_800_000_000.0, since_boot=STARTED + 2.5)
LONG_AGO = "2020-01-01T00:00:00Z"
JUST_NOW = "2027-01-15T07:59:59Z"
"""A second before the wall clock says now."""


def found(created: str | None = LONG_AGO, **changes: object) -> PodRecord:
    """Record what a pass found that has just brought a program in."""
    spec = program_spec(capture_created=created)
    fields = {
        "finding": PROGRAMMED,
        "program": spec,
        "held_hash": spec.hash,
        "held_in": SANDBOX.netns,
    }
    return replace(record(), **{**fields, **changes})


def outcome(before: PodRecord, after: PodRecord) -> tuple[Captured | None, int | None]:
    """Account for a pass."""
    record = with_first_capture(before, after, SANDBOX_THEN, NOW)
    return record.captured, record.exposed_milliseconds


def test_a_starting_pod_is_captured_in_time() -> None:
    """The runtime waited."""
    before = replace(record(), is_starting=True)
    assert outcome(before, found()) == (Captured.BEFORE_FIRST_CONTAINER, None)


def test_a_late_pod_was_exposed_since_its_sandbox_started() -> None:
    """At most: its first container came later."""
    assert outcome(record(), found()) == (Captured.LATE, 2500)


def test_a_pod_that_is_older_than_its_capture_was_exposed_since_the_capture() -> None:
    """Before that, nobody wanted it captured."""
    assert outcome(record(), found(JUST_NOW)) == (Captured.LATE, 1000)


@pytest.mark.parametrize("created", [None, "", "nonsense"])
def test_without_a_time_of_creation_the_sandbox_counts(created: str | None) -> None:
    """The longer time is the honest one."""
    assert outcome(record(), found(created)) == (Captured.LATE, 2500)


def test_a_sandbox_without_a_process_does_not_tell() -> None:
    """It has no start time."""
    sandbox = replace(SANDBOX, start_time=0)
    after = with_first_capture(record(), found(), sandbox, NOW)
    assert (after.captured, after.exposed_milliseconds) == (Captured.LATE, None)


def test_what_is_known_stays() -> None:
    """Every later pass finds the pod programmed too."""
    known = found(captured=Captured.LATE, exposed_milliseconds=7)
    assert outcome(known, known) == (Captured.LATE, 7)
    in_time = found(captured=Captured.BEFORE_FIRST_CONTAINER)
    assert outcome(in_time, in_time) == (Captured.BEFORE_FIRST_CONTAINER, None)


def test_a_new_sandbox_is_accounted_for_anew() -> None:
    """The same pod, after its pause process died."""
    old = found(captured=Captured.BEFORE_FIRST_CONTAINER, held_in=NetnsIdentity(device=4, inode=1))
    after = replace(old, held_in=SANDBOX.netns)
    assert outcome(old, after) == (Captured.LATE, 2500)
    assert outcome(replace(old, is_starting=True), after)[0] is Captured.BEFORE_FIRST_CONTAINER


def test_a_pod_that_is_not_programmed_has_no_account_yet() -> None:
    """Also where it never will be."""
    pending = found(finding=Finding(PodState.PENDING, "Why", "why"))
    assert outcome(record(), pending) == (None, None)


def test_what_an_earlier_agent_brought_in_without_an_account_has_none() -> None:
    """Nobody knows when that was."""
    before = found()
    assert outcome(before, before) == (None, None)
