"""Nodes where `failurePolicy: Fail` can't be kept: nobody asks the agent before a pod starts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from capture_api.node_captures import AgentInfo, NriConnection
from capture_operator.captures import Resolution
from capture_operator.reachability import is_unreachable
from capture_operator.times import parse_time
from capture_operator.views import CaptureView, PodStanding, Standing

TOLD_AFTER: Final = 10.0
"""Seconds without the connection before it is told: a restart of agent or runtime is shorter."""

_CONCERNED: Final = frozenset(Standing) - {Standing.SUPERSEDED, Standing.NOT_APPLICABLE}


@dataclass(frozen=True, slots=True)
class UnguardedNode:
    """A node whose runtime doesn't ask the agent, and why not.

    `told_in` is in how many seconds that is to be told; 0 or less: now.
    """

    name: str
    why: str
    told_in: float = 0.0


def unguarded_nodes(view: CaptureView, pods: Sequence[PodStanding]) -> list[UnguardedNode]:
    """Find the nodes of a capture's pods whose runtime doesn't ask, ordered by name.

    None for a capture that lets pods start anyhow: Ignore, Observe, suspended, or going away.
    """
    resolution = view.capture.resolution
    if view.capture.deleting or not isinstance(resolution, Resolution):
        return []
    if not resolution.spec.guards_start:
        return []
    return list(_unguarded(view, sorted(_nodes(view, pods))))


def _nodes(view: CaptureView, pods: Sequence[PodStanding]) -> set[str]:
    nodes = {item.pod.node for item in pods if item.standing in _CONCERNED}
    return {node for node in nodes if not is_unreachable(view.out_of_reach, node, view.now)}


def _unguarded(view: CaptureView, nodes: Sequence[str]) -> Iterator[UnguardedNode]:
    for node in nodes:
        report = view.reports.get(node)
        if report is None or report.status.agent == AgentInfo():
            continue  # its agent has not spoken yet
        nri = report.status.agent.nri
        if nri is None:
            yield UnguardedNode(node, "NRI is off")
        elif not nri.connected:
            yield UnguardedNode(node, "NRI is not connected", _told_in(nri, view.now))


def _told_in(nri: NriConnection, now: float) -> float:
    since = parse_time(nri.since or "")
    return 0.0 if since is None else since + TOLD_AFTER - now
