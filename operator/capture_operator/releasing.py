"""When a deleted capture may go: not before its chains have.

Pure: a function of what NodeCaptures say, which nodes are out of reach, and the time.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from capture_api.node_captures import NodeCaptureSpec
from capture_operator.reachability import UNREACHABLE_AFTER, is_unreachable
from capture_operator.reports import NodeReport


@dataclass(frozen=True, slots=True)
class Release:
    """What stands between a deleted capture and its end.

    `holding`: nodes that are waited for. `unreachable`: those of them that are reported as
    unreachable. `recheck_after`: seconds until time alone may change this; None if it can't.
    """

    holding: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()
    recheck_after: float | None = None

    @property
    def done(self) -> bool:
        """Whether nothing holds the capture any more."""
        return not self.holding


@dataclass(frozen=True, slots=True)
class Reach:
    """Nodes that exist, since when some are out of reach, and when those are given up (seconds)."""

    nodes: Collection[str]
    since: Mapping[str, float]
    give_up_after: float


def release(
    uid: str, namespace: str, reports: Iterable[NodeReport], reach: Reach, now: float
) -> Release:
    """Find out which nodes still hold the chains of the capture with this UID."""
    holding = sorted(
        report.metadata.name
        for report in reports
        if report.metadata.name in reach.nodes and _holds(report, uid, namespace)
    )
    blocking = [node for node in holding if now - reach.since.get(node, now) < reach.give_up_after]
    return Release(
        holding=tuple(blocking),
        unreachable=tuple(node for node in blocking if is_unreachable(reach.since, node, now)),
        recheck_after=_recheck_after(blocking, reach, now),
    )


def refers_to(spec: NodeCaptureSpec, uid: str) -> bool:
    """Whether a dispatch sends a pod to the capture with this UID."""
    return any(pod.program is not None and pod.program.capture_uid == uid for pod in spec.pods)


def _holds(report: NodeReport, uid: str, namespace: str) -> bool:
    if refers_to(report.spec, uid):
        return True
    if any(pod.capture_uid == uid for pod in report.status.pods):
        return True
    # An agent that has not read the latest dispatch may be programming an earlier one right now.
    behind = report.status.observed_generation < report.metadata.generation
    return behind and namespace in report.namespaces()


def _recheck_after(blocking: Iterable[str], reach: Reach, now: float) -> float | None:
    moments = (
        reach.since[node] + patience - now
        for node in blocking
        if node in reach.since
        for patience in (UNREACHABLE_AFTER, reach.give_up_after)
    )
    return min((moment for moment in moments if moment > 0), default=None)
