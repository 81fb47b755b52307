"""A NodeCapture as the operator holds it: what was dispatched to a node, and its evidence."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from capture_api.meta import ObjectMeta
from capture_api.node_captures import (
    DispatchedPod,
    NodeCaptureSpec,
    NodeCaptureStatus,
    PodEvidence,
)
from capture_api.wire import MalformedObjectError, decode

T = TypeVar("T")


class NodeReport(msgspec.Struct, frozen=True):
    """One NodeCapture; `dispatched` and `evidence` are its pods by UID.

    `problems` says what could not be read of it; that part counts as not reported.
    """

    metadata: ObjectMeta
    spec: NodeCaptureSpec
    status: NodeCaptureStatus
    dispatched: Mapping[str, DispatchedPod]
    evidence: Mapping[str, PodEvidence]
    problems: tuple[str, ...] = ()

    def namespaces(self) -> set[str]:
        """Namespaces of the pods that it dispatches or reports."""
        pods: tuple[DispatchedPod | PodEvidence, ...] = (*self.spec.pods, *self.status.pods)
        return {pod.namespace for pod in pods}


def node_report(
    metadata: ObjectMeta,
    spec: NodeCaptureSpec,
    status: NodeCaptureStatus,
    problems: Iterable[str] = (),
) -> NodeReport:
    """Put a NodeCapture's parts together, with its pods found by UID."""
    return NodeReport(
        metadata=metadata,
        spec=spec,
        status=status,
        dispatched={pod.uid: pod for pod in spec.pods},
        evidence={pod.uid: pod for pod in status.pods},
        problems=tuple(problems),
    )


def read_report(raw: dict[str, Any]) -> NodeReport:
    """Decode a NodeCapture as the API server sends it, part by part.

    The status is an agent's word: one entry that can't be read spoils no other, and a spec
    that can't be read counts as empty, so that it is written anew.

    Raises:
        MalformedObjectError: the metadata are not those of an object.
    """
    metadata = decode(raw["metadata"], ObjectMeta)
    problems: list[str] = []
    spec = _or_none(raw.get("spec") or {}, NodeCaptureSpec, "spec", problems)
    status = _status(raw.get("status") or {}, problems)
    return node_report(metadata, spec or NodeCaptureSpec(), status, problems)


def _status(raw: dict[str, Any], problems: list[str]) -> NodeCaptureStatus:
    pods = raw.get("pods") or []
    if not isinstance(pods, list):
        problems.append(f"status.pods: expected a list, got {type(pods).__name__}")
        pods = []
    readable = [
        evidence
        for index, item in enumerate(pods)
        if (evidence := _or_none(item, PodEvidence, f"status.pods[{index}]", problems))
    ]
    rest = {name: value for name, value in raw.items() if name != "pods"}
    status = _or_none(rest, NodeCaptureStatus, "status", problems) or NodeCaptureStatus()
    return msgspec.structs.replace(status, pods=tuple(readable))


def _or_none(raw: object, kind: type[T], where: str, problems: list[str]) -> T | None:
    try:
        return decode(raw, kind)
    except MalformedObjectError as error:
        problems.append(f"{where}: {error}")
        return None
