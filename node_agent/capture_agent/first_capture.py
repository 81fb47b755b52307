"""Whether a pod was captured before its first container, and else how long it was exposed. Pure."""

from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from capture_agent.records import PodRecord
from capture_agent.sandboxes import Sandbox
from capture_api.node_captures import Captured, PodState

CLOCK_TICKS = 100
"""A second, in the unit of a process's start time: USER_HZ, which is 100 on every Linux."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, on two clocks: seconds since the epoch, and since the node's boot."""

    wall: float
    since_boot: float


def with_first_capture(
    before: PodRecord, after: PodRecord, sandbox: Sandbox, now: Moment
) -> PodRecord:
    """Record when the rules came into a sandbox, where a pass has just brought them in.

    A late pod counts as exposed from the start of its sandbox, or from the capture's creation if
    that was later: the time without rules is at most that long.

    Args:
        before: the pod as it was before the pass.
        after: the same pod after it.
        sandbox: where the pass was.
        now: the end of the pass.
    """
    is_known = before.captured is not None and before.held_in == sandbox.netns
    if after.finding.state is not PodState.PROGRAMMED or is_known:
        return after
    if before.held_in == sandbox.netns and before.held_hash:
        return after  # an agent that did not keep this account brought them in
    if before.is_starting:
        return replace(after, captured=Captured.BEFORE_FIRST_CONTAINER, exposed_milliseconds=None)
    return replace(
        after, captured=Captured.LATE, exposed_milliseconds=_exposed(after, sandbox, now)
    )


def _exposed(record: PodRecord, sandbox: Sandbox, now: Moment) -> int | None:
    if not sandbox.start_time:
        return None  # it has no process that would tell
    since_start = now.since_boot - sandbox.start_time / CLOCK_TICKS
    return max(0, round(1000 * min(since_start, _age(record, now))))


def _age(record: PodRecord, now: Moment) -> float:
    """How many seconds ago the capture was created; endless if that is not known."""
    created = record.program.capture_created if record.program else None
    if not created:
        return float("inf")
    try:
        return now.wall - datetime.fromisoformat(created).timestamp()
    except ValueError:
        return float("inf")
