"""A node without a cluster: pods that are processes in namespaces of their own, and a real agent.

The agent is the program that runs on nodes, in a process of its own, with its zygote and brokers;
only its API server is played.
"""

import asyncio
import contextlib
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import programs
from capture_api.capture_programs import CaptureProgramSpec
from capture_api.names import CAPTURE_PROGRAMS, NODE_CAPTURES
from capture_api.node_captures import DispatchedPod, NodeCaptureSpec
from capture_api.programs import Program
from capture_api.wire import encode
from kernel.agent_process import NODE
from kernel.played_api import PlayedApi, Raw, played_api
from kernel.pods import ADDRESS, Pod, started_pod
from kernel.running_agent import running_agent

PODS = 110
"""The most that a kubelet runs on a node by default."""
MEMORY = "/dev/shm"  # noqa: S108 - the chart keeps the agent's state in memory too, on /run
NAMESPACE = "bench"
NAME = "web"
_PATIENCE = 60.0


@dataclass(slots=True)
class StandInNode:
    """Its pods, the agent that watches them, and the place where the agent finds a runtime."""

    pods: tuple[Pod, ...]
    api: PlayedApi
    agent: subprocess.Popen[bytes]
    nri_socket: Path
    generation: int = 0

    async def program(self, what: Program) -> float:
        """Have all pods hold a program; seconds from its dispatch until the status says so."""
        self.generation += 1
        spec = programs.program_spec(what, self.generation)
        began = time.perf_counter()
        self.api.put(CAPTURE_PROGRAMS, _capture_program(spec))
        self.api.put(NODE_CAPTURES, _node_capture(spec, self.pods))
        async with asyncio.timeout(_PATIENCE):
            await self.api.until(NODE, lambda status: _all_hold(spec.hash, status, len(self.pods)))
        return time.perf_counter() - began


@contextmanager
def started_pods(count: int = PODS) -> Iterator[tuple[Pod, ...]]:
    """Start pods for the block."""
    with contextlib.ExitStack() as running:
        yield tuple(running.enter_context(started_pod()) for _ in range(count))


@asynccontextmanager
async def stand_in_node(count: int = PODS) -> AsyncIterator[StandInNode]:
    """Run a node for the block, with the reference program in all its pods."""
    async with played_api() as api:
        with started_pods(count) as pods, tempfile.TemporaryDirectory(dir=MEMORY) as directory:
            nri_socket, state = Path(directory) / "nri.sock", Path(directory) / "state"
            state.mkdir()
            with running_agent(api.url, state, nri_socket) as agent:
                node = StandInNode(pods, api, agent, nri_socket)
                await node.program(programs.program())
                yield node


def _all_hold(program_hash: str, status: Raw, count: int) -> bool:
    held = [each for each in status.get("pods", ()) if each.get("hash") == program_hash]
    return len(held) == count and all(each["state"] == "Programmed" for each in held)


def _capture_program(spec: CaptureProgramSpec) -> Raw:
    metadata = {"namespace": NAMESPACE, "name": NAME, "uid": "program"}
    return {"metadata": metadata, "spec": encode(spec)}


def _node_capture(spec: CaptureProgramSpec, pods: Iterable[Pod]) -> Raw:
    dispatched = NodeCaptureSpec(
        tuple(
            DispatchedPod(
                uid=pod.uid,
                namespace=NAMESPACE,
                name=f"pod-{pod.pid}",
                pod_ips=(ADDRESS,),
                program=programs.ref(spec, NAME),
            )
            for pod in pods
        )
    )
    metadata = {"name": NODE, "uid": "node", "generation": spec.capture_generation}
    return {"metadata": metadata, "spec": encode(dispatched)}
