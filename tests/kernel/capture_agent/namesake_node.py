"""A node full of pods of one name, with the real agent; API server and runtime are played."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from capture_api.capture_programs import CaptureProgramSpec
from capture_api.names import CAPTURE_PROGRAMS, NODE_CAPTURES
from capture_api.node_captures import (
    DispatchedPod,
    NodeCaptureSpec,
    NodeCaptureStatus,
    PodEvidence,
)
from capture_api.wire import decode, encode
from kernel.agent_process import NODE
from kernel.capture_agent.namesakes import NAME, Evidence, Namesake, evidence_in
from kernel.capture_agent.nft_listings import listing
from kernel.played_api import PlayedApi, Raw, played_api
from kernel.pods import Pod
from kernel.running_agent import running_agent
from kernel.side_by_side import with_each
from unit.capture_nri.fake_runtime import Plugin, running_runtime

_PATIENCE: Final = 60.0
_AT_ONCE: Final = 50
"""Pods that come between two dispatches."""
_STOP_POD_SANDBOX: Final = 2


class NamesakeNode:
    """Has pods come and go; `pods` are those that are there, by Kubernetes namespace."""

    def __init__(self, api: PlayedApi, runtime: Plugin, running: ExitStack) -> None:
        self.pods: dict[str, Namesake] = {}
        self._api = api
        self._runtime = runtime
        self._running = running
        self._dispatched: dict[str, DispatchedPod] = {}
        self._generation = 1

    async def started(self, starts: Iterable[AbstractContextManager[Pod]]) -> list[Pod]:
        """Start pods that nobody tells of yet; they end with the node."""
        return await asyncio.to_thread(with_each, starts, self._running.enter_context)

    def path_to(self, pod: Pod) -> str:
        """Keep a pod's network namespace under a path, as a runtime does."""
        return self._running.enter_context(_kept(pod))

    def change(self, captures: Mapping[str, CaptureProgramSpec]) -> None:
        """Have the captures of some Kubernetes namespaces ask for something else."""
        changed = {name: replace(self.pods[name], spec=spec) for name, spec in captures.items()}
        self.pods |= changed
        _capture(self._api, captures)
        self.dispatch(changed.values())

    async def come(self, pods: Sequence[Namesake]) -> None:
        """Have pods come in this order, in place of those of their Kubernetes namespaces.

        Those that the runtime tells of start while others are dispatched; they are themselves after
        that, where anything captures them.
        """
        self.pods |= {each.namespace: each for each in pods}
        for first in range(0, len(pods), _AT_ONCE):
            some = pods[first : first + _AT_ONCE]
            self.dispatch(each for each in some if not each.is_told)
            for each in some:
                if each.is_told:
                    await self._start(each)
            self.dispatch(each for each in some if each.is_told and each.spec)

    async def go(self, pods: Iterable[Namesake]) -> None:
        """End pods; of those that it told of, the runtime says so."""
        for each in pods:
            each.pod.kill()
            if each.is_told:
                await self._runtime.tells(_STOP_POD_SANDBOX, each.described())
            self._dispatched.pop(each.namespace, None)

    def dispatch(self, pods: Iterable[Namesake]) -> None:
        """Dispatch pods beside those that are, or anew."""
        self._dispatched |= {each.namespace: each.dispatched() for each in pods}
        self._generation += 1
        self._api.put(NODE_CAPTURES, _node_capture(self._dispatched.values(), self._generation))

    async def evidence(
        self, is_so: Callable[[dict[str, PodEvidence]], bool] = lambda _: True
    ) -> dict[str, PodEvidence]:
        """Give what the status says of each pod, by UID, once that is what it is to say.

        Raises:
            AssertionError: it never says that; what it says last, where it is something else.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._api.until(NODE, lambda status: self._is_settled(status, is_so))
        status = self._api.status(NODE)
        wrong = self._unlike(_evidence_of(status))
        assert wrong == {}, f"of {len(wrong)} pods"
        assert self._is_settled(status, is_so)
        return _evidence_of(status)

    async def listings(self) -> dict[str, str]:
        """List what the network namespace of each pod holds, by Kubernetes namespace."""
        listed = [each for each in self.pods.values() if not each.is_inside_another]
        found = await asyncio.to_thread(with_each, (each.pod for each in listed), listing)
        return dict(zip((each.namespace for each in listed), found, strict=True))

    async def _start(self, starting: Namesake) -> None:
        described = starting.described()
        assert await self._runtime.starts(described) is None
        refusal = await self._runtime.creates_container(described)
        assert (refusal is None) == starting.may_start, f"{starting.namespace}: {refusal}"
        assert starting.obstacle in (refusal or starting.obstacle)

    def _is_settled(self, status: Raw, is_so: Callable[[dict[str, PodEvidence]], bool]) -> bool:
        if status.get("observedGeneration") != self._generation:
            return False
        found = _evidence_of(status)
        return not self._unlike(found) and is_so(found)

    def _unlike(
        self, found: dict[str, PodEvidence]
    ) -> dict[str, tuple[Evidence | None, Evidence | None]]:
        """Say of which pods the status says something else, and what it is to say."""
        said = {uid: evidence_in(each) for uid, each in found.items()}
        true = {each.pod.uid: each.evidence() for each in self.pods.values() if each.spec}
        return {
            uid: (said.get(uid), true.get(uid))
            for uid in said.keys() | true.keys()
            if said.get(uid) != true.get(uid)
        }


@asynccontextmanager
async def namesake_node(
    directory: Path, captures: Mapping[str, CaptureProgramSpec]
) -> AsyncIterator[NamesakeNode]:
    """Run a node without pods for the block.

    Args:
        directory: an existing one, for the files of the agent.
        captures: by Kubernetes namespace, all of whose pods they select.
    """
    nri_socket = directory / "nri.sock"
    with ExitStack() as running:
        async with played_api() as api, running_runtime(nri_socket) as runtime:
            _capture(api, captures)
            api.put(NODE_CAPTURES, _node_capture((), 1))
            with running_agent(api.url, directory, nri_socket):
                plugin = await runtime.accept()
                await plugin.greet()
                yield NamesakeNode(api, plugin, running)


def _capture(api: PlayedApi, captures: Mapping[str, CaptureProgramSpec]) -> None:
    for namespace, spec in captures.items():
        metadata = {"namespace": namespace, "name": NAME, "uid": f"program-{namespace}"}
        api.put(CAPTURE_PROGRAMS, {"metadata": metadata, "spec": encode(spec)})


def _node_capture(pods: Iterable[DispatchedPod], generation: int) -> Raw:
    spec = NodeCaptureSpec(tuple(sorted(pods, key=lambda pod: pod.uid)))
    metadata = {"name": NODE, "uid": "node", "generation": generation}
    return {"metadata": metadata, "spec": encode(spec)}


def _evidence_of(status: Raw) -> dict[str, PodEvidence]:
    pods = decode(status, NodeCaptureStatus).pods
    by_uid = {pod.uid: pod for pod in pods}
    assert len(by_uid) == len(pods)
    return by_uid


@contextlib.contextmanager
def _kept(pod: Pod) -> Iterator[str]:
    name = f"cni-{pod.uid}"
    subprocess.run(["ip", "netns", "attach", name, str(pod.pid)], check=True)
    try:
        yield f"/var/run/netns/{name}"
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
