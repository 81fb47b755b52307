"""The work there is to do, by key, and which change makes which of it necessary.

Three queues, since the three kinds of writes have paces of their own: programs (with finalizer
and release) at once, dispatch coalesced for 50 to 250 ms, status within a second.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from capture_api.captures import TrafficCaptureStatus
from capture_operator.captures import Capture
from capture_operator.nodes import Node
from capture_operator.pods import Pod
from capture_operator.programs import HeldProgram
from capture_operator.reports import NodeReport
from capture_operator.resources import (
    CAPTURES,
    NODE_REPORTS,
    NODES,
    PODS,
    ObjectKey,
    Resource,
)
from capture_operator.store import Store
from capture_operator.tables import Change


@dataclass(frozen=True, slots=True)
class ProgramWork:
    """Bring a capture's finalizer and CaptureProgram up to date, or let it go."""

    capture: ObjectKey

    def __str__(self) -> str:
        return str(self.capture)


@dataclass(frozen=True, slots=True)
class DispatchWork:
    """Bring a node's NodeCapture up to date."""

    node: str

    def __str__(self) -> str:
        return self.node


@dataclass(frozen=True, slots=True)
class StatusWork:
    """Bring a capture's status up to date."""

    capture: ObjectKey

    def __str__(self) -> str:
        return str(self.capture)


Item = ProgramWork | DispatchWork | StatusWork


def everything(store: Store) -> Iterator[Item]:
    """All there may be to do, e.g. after the first complete listing."""
    for key in store.captures:
        yield ProgramWork(key)
        yield StatusWork(key)
    for key in store.nodes:
        yield DispatchWork(key.name)


def consequences(store: Store, resource: Resource, change: Change[Any]) -> Iterator[Item]:
    """What a change makes necessary; the store holds it already."""
    if resource is CAPTURES:
        return _of_capture(store, change)
    if resource is PODS:
        return _of_pod(store, change)
    if resource is NODES:
        return _of_node(store, change)
    if resource is NODE_REPORTS:
        return _of_report(store, change)
    return _of_program(store, change)


def _of_capture(store: Store, change: Change[Capture]) -> Iterator[Item]:
    yield StatusWork(change.key)
    if _without_status(change.before) == _without_status(change.after):
        return
    yield ProgramWork(change.key)
    yield from _contest(store, change.key.namespace)


def _of_program(store: Store, change: Change[HeldProgram]) -> Iterator[Item]:
    if _spec(change.before) == _spec(change.after):
        return
    yield ProgramWork(change.key)
    yield from _contest(store, change.key.namespace)


def _of_pod(store: Store, change: Change[Pod]) -> Iterator[Item]:
    for node in {pod.node for pod in (change.before, change.after) if pod and pod.node}:
        yield DispatchWork(node)
        if store.is_agent(change.before) or store.is_agent(change.after):
            yield from _about_node(store, node)
    yield from _statuses(store, change.key.namespace)


def _of_node(store: Store, change: Change[Node]) -> Iterator[Item]:
    yield DispatchWork(change.key.name)
    yield from _about_node(store, change.key.name)


def _of_report(store: Store, change: Change[NodeReport]) -> Iterator[Item]:
    yield DispatchWork(change.key.name)
    reports = (change.before, change.after)
    for namespace in {name for report in reports if report for name in report.namespaces()}:
        yield from _statuses(store, namespace)
    yield from _deletions(store)


def _contest(store: Store, namespace: str) -> Iterator[Item]:
    for node in {pod.node for pod in store.pods_in(namespace) if pod.node}:
        yield DispatchWork(node)
    for report in store.reports.values():
        if namespace in report.namespaces():
            yield DispatchWork(report.metadata.name)
    yield from _statuses(store, namespace)


def _about_node(store: Store, node: str) -> Iterator[Item]:
    """A node that came into reach, or went out of it."""
    for namespace in {pod.namespace for pod in store.pods_on(node)}:
        yield from _statuses(store, namespace)
    yield from _deletions(store)


def _statuses(store: Store, namespace: str) -> Iterator[Item]:
    for capture in store.captures_in(namespace):
        yield StatusWork(ObjectKey(namespace, capture.metadata.name))


def _deletions(store: Store) -> Iterator[Item]:
    for key in store.deleting_captures():
        yield ProgramWork(key)
        yield StatusWork(key)


class _HasSpec(Protocol):
    @property
    def spec(self) -> object: ...


def _spec(held: _HasSpec | None) -> object:
    return held.spec if held else None


def _without_status(capture: Capture | None) -> Capture | None:
    if capture is None:
        return None
    metadata = msgspec.structs.replace(capture.metadata, resource_version="")
    return msgspec.structs.replace(capture, metadata=metadata, status=TrafficCaptureStatus())
