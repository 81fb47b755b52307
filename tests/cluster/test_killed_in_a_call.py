"""The agent crashes while the runtime waits for its answer: the kill is timed into the call.

Nobody enters namespaces, so the agent can't answer; a plugin that is called before it tells when
its turn has come. That the call was open when the agent died is in the runtime's log: it lost the
plugin in that very call, and not because the plugin was slow.

Without an agent nobody refuses a pod, whatever its `failurePolicy` says, but the runtime's own
validator does, if the pod requires the plugin by annotation.
"""

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from cluster import node_side
from cluster.installation import AGENT, is_ready, pods
from cluster.kube import SYSTEM, Kube, eventually
from cluster.node_side import only_local, run, send, uid_of
from cluster.test_capture import is_ready as capture_is_ready
from cluster.test_capture import ours, status
from cluster.test_nri import Observer, connected
from cluster.test_start_gate import (
    AND_STAY,
    FIRST_ACT,
    evidence,
    first,
    nobody_who_enters,
    refusals,
    target,
)
from local_cluster.access import Cluster
from local_cluster.inside import LOG
from local_cluster.node import CONTROL_PLANE_NODE

__all__ = ["target"]  # a fixture

BEFORE_THE_AGENT = "05"
"""The agent is plugin 10."""

LOST_IN = {
    "starts": "closing plugin 10-traffic-capture, failed to handle event 1: ttrpc: closed",
    "container": (
        "closing plugin 10-traffic-capture, failed to handle CreateContainer request: ttrpc: closed"
    ),
}
"""What the runtime logs, by what the plugin before was told last. Event 1 is RunPodSandbox."""

REQUIRED = {"required-plugins.noderesource.dev": json.dumps(["traffic-capture"])}
MISSING = 'required plugin "traffic-capture" not present'


@pytest.fixture
def observer(kube: Kube, cluster: Cluster) -> Iterator[Observer]:
    """A plugin that is called right before the agent; the agent is there again afterwards."""
    only_local(cluster)
    observer = Observer()
    with connected(observer, index=BEFORE_THE_AGENT):
        yield observer
    eventually(lambda: pods(kube, AGENT), lambda seen: seen and all(map(is_ready, seen)))


def runtime_log() -> list[str]:
    """Return what the runtime has logged so far."""
    return run("cat", f"{LOG}/containerd.log").splitlines()


def crash(kube: Kube, observer: Observer, moment: str, manifest: dict[str, Any]) -> None:
    """Start a pod, and kill the agent while the runtime waits for it at that moment."""
    logged = len(runtime_log())
    pod, processes = kube.agent(CONTROL_PLANE_NODE.name), node_side.processes(node_side.AGENT)
    with nobody_who_enters():
        kube.apply(manifest)
        uid = uid_of(kube, "web")
        eventually(lambda: moment in observer.of(uid))
        send(signal.SIGKILL, *processes)
    eventually(lambda: any(LOST_IN[moment] in line for line in runtime_log()[logged:]))
    # Its successor comes as another pod: the kubelet would wait ever longer with the same.
    kube.run("delete", "pod", pod, "-n", SYSTEM, "--force", "--grace-period=0", "--wait=false")


def web(target: str, annotations: dict[str, str] | None = None) -> dict[str, Any]:
    """Describe the pod that starts meanwhile: its first act is to connect."""
    manifest = first("web", target, FIRST_ACT + AND_STAY)
    manifest["metadata"]["annotations"] = annotations or {}
    return manifest


def with_policy(kube: Kube, policy: str) -> None:
    """Have the capture say what becomes of pods that can't be captured."""
    kube.patch("tcap/first", {"spec": {"failurePolicy": policy}})
    eventually(
        lambda: kube.get("captureprograms.trafficcapture.io/first")["spec"],
        lambda spec: spec["failurePolicy"] == policy,
    )


def ends_up(kube: Kube, printed: str) -> None:
    """Wait until the pod runs and has its rules, late, and that is said; compare what it met."""
    kube.run("wait", "pod/web", "--for=condition=Ready", "--timeout=120s")
    seen = eventually(lambda: evidence(kube, "web"), lambda seen: "captured" in seen)
    assert (seen["state"], seen["captured"]) == ("Programmed", "Late")
    assert seen["exposedMilliseconds"] > 0
    assert eventually(lambda: kube.run("logs", "web").strip()) == printed
    assert "-A OUTPUT -p tcp -j ISTIO_OUTPUT\n" in ours(kube.nat("web", "-S"))
    eventually(
        lambda: status(kube, "first"),
        lambda seen: has_it_late(seen["pods"]) and capture_is_ready(seen),
    )


def has_it_late(counts: dict[str, int]) -> bool:
    """Tell whether a capture has one pod, which was late."""
    return counts["matched"] == counts["programmed"] == counts["late"] == 1


@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
def test_the_node_goes_on_starting_pods(
    kube: Kube, target: str, observer: Observer, policy: str
) -> None:
    """Nobody is left to refuse: the pod starts, is captured by the next agent, and that is said."""
    with_policy(kube, policy)
    crash(kube, observer, "starts", web(target))
    ends_up(kube, "escaped")


def test_a_pod_that_requires_the_agent_waits_for_the_next(
    kube: Kube, target: str, observer: Observer
) -> None:
    """Its first container finds the rules; the next agent can't know that, and counts it late."""
    crash(kube, observer, "starts", web(target, REQUIRED))
    assert MISSING in eventually(lambda: refusals(kube, "web"))[0]
    ends_up(kube, "captured")


def test_a_crash_in_the_call_for_the_container_itself_goes_unnoticed(
    kube: Kube, target: str, observer: Observer
) -> None:
    """The runtime notes which plugins are there before it calls them (containerd/nri issue 316)."""
    crash(kube, observer, "container", web(target, REQUIRED))
    ends_up(kube, "escaped")
