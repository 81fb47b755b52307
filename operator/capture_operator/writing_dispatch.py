"""Writes NodeCaptures: what each node is told of its pods."""

from collections.abc import Sequence

from capture_api.contests import Candidate
from capture_api.node_captures import NodeCaptureSpec
from capture_api.wire import encode
from capture_operator.api import Api
from capture_operator.dispatching import candidate, dispatch
from capture_operator.intake import Intake
from capture_operator.nodes import Node
from capture_operator.reports import NodeReport
from capture_operator.resources import NODE_REPORTS, NODES, ObjectKey
from capture_operator.store import Store
from capture_operator.work import DispatchWork


def candidates_in(store: Store, namespace: str) -> list[Candidate]:
    """The candidates among a namespace's captures."""
    captures = store.captures_in(namespace)
    keys = (ObjectKey(namespace, capture.metadata.name) for capture in captures)
    contest = (
        candidate(capture, store.programs.get(key))
        for capture, key in zip(captures, keys, strict=True)
    )
    return [entry for entry in contest if entry is not None]


class DispatchWriter:
    """Brings one node's NodeCapture in line with its pods and the captures.

    `in_flight` holds, by node, what is being written: until the answer is in the store, nobody
    else can know of it.
    """

    def __init__(self, *, api: Api, store: Store, intake: Intake) -> None:
        self._api = api
        self._store = store
        self._intake = intake
        self.in_flight: dict[str, NodeCaptureSpec] = {}

    async def bring_up_to_date(self, work: DispatchWork) -> None:
        """Write the NodeCapture of one node if it differs from what is wanted."""
        key = ObjectKey("", work.node)
        node = self._store.nodes.get(key)
        if node is None:
            return  # it goes with its node
        held = self._store.reports.get(key)
        wanted = dispatch(self._store.pods_on(work.node), self._contests(held))
        if wanted == (held.spec if held else NodeCaptureSpec()):
            return
        self.in_flight[work.node] = wanted
        try:
            await (self._create(node, wanted) if held is None else self._replace(held, wanted))
        finally:
            del self.in_flight[work.node]

    def _contests(self, held: NodeReport | None) -> dict[str, Sequence[Candidate]]:
        namespaces = set(self._store.capture_namespaces())
        if held is not None:
            # Pods that report a capture stay listed after the last capture of their namespace
            # is gone, however it went, until their agent has let go of it.
            namespaces.update(pod.namespace for pod in held.status.pods if pod.capture_uid)
        return {namespace: candidates_in(self._store, namespace) for namespace in namespaces}

    async def _create(self, node: Node, wanted: NodeCaptureSpec) -> None:
        owner = {
            "apiVersion": NODES.api_version,
            "kind": NODES.kind,
            "name": node.name,
            "uid": node.uid,
        }
        body = {
            "apiVersion": NODE_REPORTS.api_version,
            "kind": NODE_REPORTS.kind,
            "metadata": {"name": node.name, "ownerReferences": [owner]},
            "spec": encode(wanted),
        }
        self._intake.put(NODE_REPORTS, await self._api.create(NODE_REPORTS, body))

    async def _replace(self, held: NodeReport, wanted: NodeCaptureSpec) -> None:
        written = await self._api.replace_fields(
            NODE_REPORTS,
            ObjectKey("", held.metadata.name),
            held.metadata.resource_version,
            {"/spec": encode(wanted)},
        )
        self._intake.put(NODE_REPORTS, written)
