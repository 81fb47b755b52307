"""What our answer adds to a pod's start: the runtime waits for it before the first container.

The runtime is played, over the real socket and protocol (`bare_runtime`: what it takes itself is as
little as can be); the agent has 110 pods beside the one that starts. The reference is only what an
init container would run; that container's own creation, start and end (see `pod-start`, on a
cluster) come on top.
"""

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import programs
from bare_runtime import BareRuntime, listening
from capture_nri import nri_pb2
from figures import AtMost, Figure
from kernel.pods import ADDRESS, Pod
from peer_processes import started_peer
from stand_in_node import NAMESPACE, stand_in_node, started_pods
from timing import median, percentile, run, spread, stopwatch, took
from unit.capture_nri.runtime_side import containerd_pod, state_change

STARTS = 200
PAUSE = 0.1
"""Seconds between two starts, as on a node: the status of the one is written before the other. This
process plays the API server, and must not be busy with that when it waits for an answer."""

_RUN_POD_SANDBOX: Final = 1
_STOP_POD_SANDBOX: Final = 2
_MILLI = 1e3


async def measure() -> list[Figure]:
    """Start pods, one after the other, before the agent and before one that does the least."""
    with tempfile.NamedTemporaryFile("w") as rules:
        rules.write(programs.restored())
        rules.flush()
        async with stand_in_node() as node:
            with listening(node.nri_socket) as listener:
                runtime = await asyncio.to_thread(BareRuntime.accepted, listener)
                asked = partial(_start, runtime)
                what = f"our answer to the start of a pod, p99, {len(node.pods)} pods on the node"
                ours = await _figure("nri-answer", what, asked, Path(rules.name), AtMost(5))
        with _bare_gate() as start:
            what = "the same by a process that writes and reads back, and does nothing else, p99"
            return [ours, await _figure("nri-answer-floor", what, start, Path(rules.name))]


async def _figure(
    name: str,
    what: str,
    start: Callable[[Pod], float],
    rules: Path,
    goal: AtMost | None = None,
) -> Figure:
    ours: list[float] = []
    tool: list[float] = []
    with started_pods(2 * STARTS) as pods:
        for starting, other in zip(pods[::2], pods[1::2], strict=True):
            ours.append(start(starting))
            restore = ["nsenter", "-t", str(other.pid), "-n", "iptables-nft-restore"]
            tool.append(took(lambda: run(restore, str(rules))).wall)  # noqa: B023 - called here
            await asyncio.sleep(PAUSE)
    return Figure(
        name=name,
        what=what,
        ours=percentile(ours, 99) * _MILLI,
        reference=percentile(tool, 99) * _MILLI,
        compared_with="nsenter + iptables-nft-restore, without the init container around it",
        unit="ms",
        goal=goal,
        details={
            "ours median": median(ours) * _MILLI,
            **spread(ours, _MILLI),
            "reference median": median(tool) * _MILLI,
            **spread(tool, _MILLI, "reference"),
        },
    )


def _start(runtime: BareRuntime, pod: Pod) -> float:
    described = _described(pod)
    call = state_change(runtime.next_stream(), _RUN_POD_SANDBOX, described)
    with stopwatch() as watch:
        answer = runtime.ask(call)
    refusal = runtime.refusal(answer)
    _check(pod, refusal)
    runtime.ask(state_change(runtime.next_stream(), _STOP_POD_SANDBOX, described))
    return watch.took.wall


@contextlib.contextmanager
def _bare_gate() -> Iterator[Callable[[Pod], float]]:
    with (
        tempfile.TemporaryDirectory() as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
    ):
        listener.bind(path := f"{directory}/gate.sock")
        listener.listen()
        with started_peer("bare_gate.py", path):
            connection, _ = listener.accept()
            with connection:  # closed first, which ends the process
                yield partial(_start_bare, connection)


def _start_bare(gate: socket.socket, pod: Pod) -> float:
    with stopwatch() as watch:
        gate.send(b"%d" % pod.pid)
        gate.recv(16)
    _check(pod)
    return watch.took.wall


def _check(pod: Pod, refusal: str = "") -> None:
    if refusal or "ISTIO_OUTPUT" not in pod.run("iptables-nft", "-t", "nat", "-S"):
        raise RuntimeError(f"the pod was not captured: {refusal}")


def _described(pod: Pod) -> nri_pb2.PodSandbox:
    return containerd_pod(
        f"pod-{pod.pid}", id=pod.uid, uid=pod.uid, namespace=NAMESPACE, pid=pod.pid, ips=[ADDRESS]
    )
