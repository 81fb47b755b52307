"""Whether a node can be expected to do what is dispatched to it, and since when it can't.

A node is out of reach while it is NotReady, or has no node agent that is Ready. The first is
dated by the node's condition, the second by when this process first saw it.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from capture_operator.nodes import Node

UNREACHABLE_AFTER: Final = 60.0
"""Seconds out of reach before a node counts as unreachable: a restart of the agent is shorter."""


class AgentAbsences:
    """Since when each node has had no Ready agent, in seconds since the epoch."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def note(self, node: str, *, ready: bool, now: float) -> bool:
        """Take note of whether a node has a Ready agent; True if that is news."""
        if ready:
            return self._since.pop(node, None) is not None
        known = node in self._since
        self._since.setdefault(node, now)
        return not known

    def forget(self, node: str) -> None:
        """Drop a node that is gone."""
        self._since.pop(node, None)

    def since(self, node: str) -> float | None:
        """When its agent was first seen missing, None if it is Ready."""
        return self._since.get(node)


def out_of_reach(nodes: Iterable[Node], absences: AgentAbsences) -> dict[str, float]:
    """Date, for each node that is out of reach, since when it is."""
    return {
        node.name: min(dates)
        for node in nodes
        if (
            dates := [d for d in (node.not_ready_since, absences.since(node.name)) if d is not None]
        )
    }


def is_unreachable(since: Mapping[str, float], node: str, now: float) -> bool:
    """Whether a node has been out of reach for so long that it is reported."""
    return node in since and now - since[node] >= UNREACHABLE_AFTER
