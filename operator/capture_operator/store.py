"""What the operator knows of the cluster, in memory."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from capture_operator.captures import Capture, read_capture
from capture_operator.nodes import Node, read_node
from capture_operator.pods import Pod, read_pod
from capture_operator.programs import HeldProgram, read_program
from capture_operator.reachability import AgentAbsences
from capture_operator.reports import NodeReport, read_report
from capture_operator.resources import (
    CAPTURES,
    NODE_REPORTS,
    NODES,
    PODS,
    PROGRAMS,
    ObjectKey,
    Resource,
)
from capture_operator.tables import Change, Table, identify

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Kind:
    """A table and how an object gets into it."""

    table: Table[Any]
    read: Callable[[dict[str, Any]], Any]


class Store:
    """Every object that decisions depend on.

    `agent_namespace` is where our node agents run; nothing is captured in `excluded_namespaces`.
    """

    def __init__(
        self,
        *,
        agent_namespace: str,
        clock: Callable[[], float],
        excluded_namespaces: Collection[str] = (),
    ) -> None:
        self.captures: Table[Capture] = Table()
        self.programs: Table[HeldProgram] = Table()
        self.reports: Table[NodeReport] = Table()
        self.nodes: Table[Node] = Table()
        self.pods: Table[Pod] = Table()
        self.absences = AgentAbsences()
        self._agent_namespace = agent_namespace
        self._clock = clock
        self._captures_by_namespace = _Grouped()
        self._pods_by_namespace = _Grouped()
        self._pods_by_node = _Grouped()
        self._kinds = {
            CAPTURES: Kind(self.captures, partial(read_capture, excluded=excluded_namespaces)),
            PROGRAMS: Kind(self.programs, read_program),
            NODE_REPORTS: Kind(self.reports, read_report),
            NODES: Kind(self.nodes, read_node),
            PODS: Kind(self.pods, read_pod),
        }

    def table(self, resource: Resource) -> Table[Any]:
        """The table of one kind."""
        return self._kinds[resource].table

    def put(self, resource: Resource, raw: dict[str, Any]) -> Change[Any] | None:
        """Hold an object as the API server sent it; None if it changes nothing.

        Raises:
            MalformedObjectError, KeyError, TypeError, ValueError: it is no object of its kind.
        """
        kind = self._kinds[resource]
        return self._indexed(resource, kind.table.put(identify(raw), kind.read(raw)))

    def remove(self, resource: Resource, raw: dict[str, Any]) -> Change[Any] | None:
        """Forget a deleted object; None if it was not held."""
        return self._indexed(resource, self._kinds[resource].table.remove(identify(raw)))

    def drop(self, resource: Resource, key: ObjectKey) -> Change[Any] | None:
        """Forget an object whose deletion nobody told us of."""
        return self._indexed(resource, self._kinds[resource].table.drop(key))

    def captures_in(self, namespace: str) -> list[Capture]:
        """Every capture of a namespace."""
        return list(_held(self.captures, self._captures_by_namespace.of(namespace)))

    def capture_namespaces(self) -> Iterator[str]:
        """Namespaces that have captures."""
        return self._captures_by_namespace.groups()

    def deleting_captures(self) -> list[ObjectKey]:
        """Captures that somebody asked to delete."""
        return [key for key in self.captures if self._is_deleting(key)]

    def pods_in(self, namespace: str) -> list[Pod]:
        """Every pod of a namespace."""
        return list(_held(self.pods, self._pods_by_namespace.of(namespace)))

    def pods_on(self, node: str) -> list[Pod]:
        """Every pod of a node."""
        return list(_held(self.pods, self._pods_by_node.of(node)))

    def is_agent(self, pod: Pod | None) -> bool:
        """Whether a pod is one of our node agents."""
        return pod is not None and pod.is_agent(self._agent_namespace)

    def _is_deleting(self, key: ObjectKey) -> bool:
        capture = self.captures.get(key)
        return capture is not None and capture.deleting

    def _indexed(self, resource: Resource, change: Change[Any] | None) -> Change[Any] | None:
        if change is None:
            return None
        if resource is CAPTURES:
            self._captures_by_namespace.move(change, lambda capture: capture.metadata.namespace)
        elif resource is PODS:
            self._index_pod(change)
        elif resource is NODES:
            self._index_node(change)
        return change

    def _index_pod(self, change: Change[Pod]) -> None:
        self._pods_by_namespace.move(change, lambda pod: pod.namespace)
        self._pods_by_node.move(change, lambda pod: pod.node)
        for pod in (change.before, change.after):
            if pod is not None and self.is_agent(pod):
                self._note_agent(pod.node)

    def _index_node(self, change: Change[Node]) -> None:
        if change.after is None:
            self.absences.forget(change.key.name)
        else:
            self._note_agent(change.key.name)

    def _note_agent(self, node: str) -> None:
        if self.nodes.get(ObjectKey("", node)) is not None:
            ready = any(pod.ready and self.is_agent(pod) for pod in self.pods_on(node))
            self.absences.note(node, ready=ready, now=self._clock())


class _Grouped:
    """Keys of objects by a property of theirs."""

    def __init__(self) -> None:
        self._keys: defaultdict[str, set[ObjectKey]] = defaultdict(set)

    def of(self, group: str) -> frozenset[ObjectKey] | set[ObjectKey]:
        return self._keys.get(group, frozenset())

    def groups(self) -> Iterator[str]:
        return iter(self._keys)

    def move(self, change: Change[V], group_of: Callable[[V], str]) -> None:
        if change.before is not None:
            self._discard(group_of(change.before), change.key)
        if change.after is not None:
            self._keys[group_of(change.after)].add(change.key)

    def _discard(self, group: str, key: ObjectKey) -> None:
        self._keys[group].discard(key)
        if not self._keys[group]:
            del self._keys[group]


def _held(table: Table[V], keys: frozenset[ObjectKey] | set[ObjectKey]) -> Iterator[V]:
    return (value for key in keys if (value := table.get(key)) is not None)
