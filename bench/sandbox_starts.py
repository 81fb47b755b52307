"""What our answer adds to a pod's start: the runtime waits for it before the first container.

The runtime is played, over the real socket and protocol (`bare_runtime`: what it takes itself is as
little as can be); the agent has 110 pods beside the one that starts. The reference is only what an
init container would run; that container's own creation, start and end (see `pod-start`, on a
cluster) come on top.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Final

import programs
from bare_runtime import BareRuntime, listening
from capture_nri import nri_pb2
from figures import AtMost, Figure
from kernel.pods import ADDRESS, Pod
from stand_in_node import NAMESPACE, StandInNode, stand_in_node, started_pods
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
    """Start pods, one after the other."""
    with tempfile.NamedTemporaryFile("w") as rules:
        rules.write(programs.restored())
        rules.flush()
        async with stand_in_node() as node:
            with listening(node.nri_socket) as listener:
                runtime = await asyncio.to_thread(BareRuntime.accepted, listener)
                return [await _figure(node, runtime, Path(rules.name))]


async def _figure(node: StandInNode, runtime: BareRuntime, rules: Path) -> Figure:
    ours: list[float] = []
    tool: list[float] = []
    with started_pods(2 * STARTS) as pods:
        for starting, other in zip(pods[::2], pods[1::2], strict=True):
            ours.append(_start(runtime, starting))
            restore = ["nsenter", "-t", str(other.pid), "-n", "iptables-nft-restore"]
            tool.append(took(lambda: run(restore, str(rules))).wall)  # noqa: B023 - called here
            await asyncio.sleep(PAUSE)
    return Figure(
        name="nri-answer",
        what=f"our answer to the start of a pod, p99, {len(node.pods)} pods on the node",
        ours=percentile(ours, 99) * _MILLI,
        reference=percentile(tool, 99) * _MILLI,
        compared_with="nsenter + iptables-nft-restore, without the init container around it",
        unit="ms",
        goal=AtMost(5),
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
    if refusal or "ISTIO_OUTPUT" not in pod.run("iptables-nft", "-t", "nat", "-S"):
        raise RuntimeError(f"the pod was not captured: {refusal}")
    runtime.ask(state_change(runtime.next_stream(), _STOP_POD_SANDBOX, described))
    return watch.took.wall


def _described(pod: Pod) -> nri_pb2.PodSandbox:
    return containerd_pod(
        f"pod-{pod.pid}", id=pod.uid, uid=pod.uid, namespace=NAMESPACE, pid=pod.pid, ips=[ADDRESS]
    )
