"""Kubelet, agent, sandboxes and API server go and come back, and pods stay captured throughout.

`LIFECYCLE_PODS` says how many pods run (100 take some minutes), `API_SERVER_AWAY` for how many
seconds the API server is gone before a pod starts.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from cluster import node_side
from cluster.installation import AGENT, settled, workload
from cluster.kube import PATIENCE, SYSTEM, Kube, eventually
from cluster.node_side import API_SERVER, KUBELET, kill, pod_here, processes, send, stopped
from cluster.test_capture import status
from cluster.test_kills import has_looked_at_every_pod
from cluster.test_start_gate import AND_STAY, AT_ONCE, FIRST_ACT, first, pids, target
from local_cluster.access import node_pid
from local_cluster.node import API_PORT, CONTROL_PLANE_NODE

__all__ = ["target"]  # a fixture

PODS = int(os.environ.get("LIFECYCLE_PODS", "20"))
AWAY = float(os.environ.get("API_SERVER_AWAY", "2"))
ALL_START = PATIENCE + 3 * PODS
"""Seconds for all pods to start."""
NODE_CAPTURE = f"nodecaptures.trafficcapture.io/{CONTROL_PLANE_NODE.name}"

Uids = dict[str, str]
"""UIDs of pods, by name."""


def connecting(name: str, target: str) -> dict[str, Any]:
    """Describe a pod that connects whenever it starts, and stays."""
    manifest = first(name, target, FIRST_ACT + AND_STAY)
    manifest["spec"]["restartPolicy"] = "Always"
    return manifest


def apply_all(kube: Kube, names: Sequence[str], target: str) -> None:
    """Have these pods start."""
    items = [connecting(name, target) for name in names]
    kube.apply({"apiVersion": "v1", "kind": "List", "items": items})


def uids(kube: Kube) -> Uids:
    """Return the UIDs of the captured pods."""
    found = kube.get("pods", "-l", "app=first")["items"]
    return {each["metadata"]["name"]: each["metadata"]["uid"] for each in found}


def all_captured_first(kube: Kube, count: int) -> None:
    """Wait until so many pods run, each captured before its first container, and none drifted."""
    kube.run(
        "wait", "pod", "-l", "app=first", "--for=condition=Ready", f"--timeout={ALL_START:.0f}s"
    )
    seen = eventually(lambda: status(kube, "first"), lambda seen: is_complete(seen, count))
    assert (seen["drift"]["detected"], seen["drift"]["repaired"]) == (0, 0)
    every = f"--max-log-requests={count}"
    printed = kube.run("logs", "-l", "app=first", "--prefix", every).splitlines()
    assert sorted(printed) == sorted(f"[pod/{name}/main] captured" for name in uids(kube))
    found = evidence(kube)
    for name, uid in uids(kube).items():
        assert found[name]["captured"] == "BeforeFirstContainer", name
        assert found[name]["netns"]["inode"] == netns_of(uid), name


def evidence(kube: Kube) -> dict[str, dict[str, Any]]:
    """Return what the node's agent says of the namespace's pods, by name."""
    entries = kube.get(NODE_CAPTURE)["status"]["pods"]
    return {each["name"]: each for each in entries if each["namespace"] == kube.namespace}


def is_complete(seen: dict[str, Any], count: int) -> bool:
    """Tell whether a capture has so many pods, all programmed."""
    pods = seen.get("pods", {})
    return bool(pods.get("matched") == pods.get("programmed") == count)


def netns_of(uid: str) -> int:
    """Return the inode number of a pod's network namespace."""
    stat = ("stat", "--dereference", "--format=%i", "/proc/self/ns/net")
    return int(node_side.in_netns(uid, *stat))


def tables(pods: Uids) -> dict[str, str]:
    """Return the pods' rules with counters and handles: what is written anew gets new ones."""
    list_all = ("nft", "--handle", "list", "ruleset")
    return {name: node_side.in_netns(uid, *list_all) for name, uid in pods.items()}


def rules(pods: Uids) -> dict[str, str]:
    """Return the pods' rules as `iptables` lists them."""
    return {name: node_side.nat(uid, "-S") for name, uid in pods.items()}


@pytest.fixture
def many(kube: Kube, target: str) -> Uids:
    """Have many captured pods run, with something in their counters; return their UIDs."""
    apply_all(kube, [f"web-{number}" for number in range(PODS)], target)
    all_captured_first(kube, PODS)
    return uids(kube)


def test_a_kubelet_that_starts_anew_changes_nothing_in_pods_that_run(
    kube: Kube, target: str
) -> None:
    """Pods that were starting, and those that come while it is away, are captured first."""
    apply_all(kube, ["running"], target)
    all_captured_first(kube, 1)
    running = uids(kube)
    before = tables(running)
    apply_all(kube, [f"starting-{number}" for number in range(AT_ONCE)], target)
    killed = kill(KUBELET)
    apply_all(kube, ["later"], target)
    eventually(lambda: processes(KUBELET), lambda seen: seen and killed.isdisjoint(seen))
    all_captured_first(kube, AT_ONCE + 2)
    assert tables(running) == before


def kill_agent(_: Kube) -> None:
    """Kill the agent in its container, and wait for the next one."""
    killed = kill(node_side.AGENT)
    eventually(lambda: processes(node_side.AGENT), lambda seen: seen and killed.isdisjoint(seen))


def replace_agent(kube: Kube) -> None:
    """Delete the agent's pod, and wait for the next one."""
    count = workload(kube, "daemonset")["status"]["desiredNumberScheduled"]
    kube.run("delete", "pod", kube.agent(CONTROL_PLANE_NODE.name), "-n", SYSTEM)
    settled(kube, AGENT, count)


def test_an_agent_that_starts_anew_rewrites_nothing(kube: Kube, many: Uids) -> None:
    """It looks at every pod and finds what the one before it left; nothing counts as drift."""
    before = tables(many)
    for begin_anew in (kill_agent, replace_agent):
        begin_anew(kube)
        kube.apply(pod_here("later", {"app": "first"}))
        eventually(lambda: status(kube, "first"), lambda seen: is_complete(seen, PODS + 1))
        eventually(lambda: kube.get(NODE_CAPTURE), has_looked_at_every_pod)
        assert tables(many) == before
        kube.run("delete", "pod", "later")
        all_captured_first(kube, PODS)


def test_sandboxes_that_all_come_back_are_captured_before_their_containers(
    kube: Kube, many: Uids
) -> None:
    """As after a reboot: the same pods in new network namespaces, and none is believed captured."""
    expected, old = rules(many), containers(kube)
    with stopped(KUBELET):
        end_all(list(many.values()))
        kill(KUBELET)
    eventually(
        lambda: containers(kube),
        lambda seen: len(seen) == PODS and old.isdisjoint(seen),
        within=ALL_START,
    )
    assert uids(kube) == many
    all_captured_first(kube, PODS)
    assert rules(many) == expected


def end_all(uids: Sequence[str]) -> None:
    """Leave nothing of these pods on the node but what is on its disk.

    With their cgroups there, a kubelet that starts asks for seconds after each dead container.
    """
    send(signal.SIGKILL, *(pid for uid in uids for pid in pids(uid)))
    eventually(lambda: not any(pids(uid) for uid in uids))
    alternatives = r"\|".join(uids)
    of_pods = rf".*/pod\({alternatives}\).*"
    node_side.run("find", "/sys/fs/cgroup", "-depth", "-type", "d", "-regex", of_pods, "-delete")


def containers(kube: Kube) -> set[str]:
    """Return the IDs of the captured pods' running containers."""
    pods = kube.get("pods", "-l", "app=first")["items"]
    statuses = [each for found in pods for each in found["status"].get("containerStatuses", ())]
    return {each["containerID"] for each in statuses if "running" in each["state"]}


@contextmanager
def no_api_server(kube: Kube) -> Iterator[None]:
    """Have the API server killed, and for a while nobody who starts it again."""
    supervisor = node_pid()
    os.kill(supervisor, signal.SIGSTOP)
    try:
        kill(API_SERVER)
        eventually(lambda: not listens())
        yield
    finally:
        os.kill(supervisor, signal.SIGCONT)
        eventually(lambda: answers(kube))
        pods_start_again(kube)


def pods_start_again(kube: Kube) -> None:
    """Wait for controllers, scheduler and kubelet: each notices in its own time."""
    kube.run("delete", "serviceaccount", "default")
    kube.run("wait", "serviceaccount", "default", "--for=create", "--timeout=120s")
    kube.apply(pod_here("sign-of-life", {}))
    kube.run("wait", "pod/sign-of-life", "--for=condition=Ready", "--timeout=120s")


def listens() -> bool:
    """Tell whether anybody listens where the API server does."""
    with socket.socket() as client:
        return client.connect_ex((str(CONTROL_PLANE_NODE.address), API_PORT)) == 0


def answers(kube: Kube) -> bool:
    """Tell whether the API server is ready."""
    try:
        return kube.run("get", "--raw", "/readyz") == "ok"
    except AssertionError:
        return False


def stay(_: Kube) -> None:
    """Have the agent that knows the capture go on."""


@pytest.mark.parametrize("begin_anew", [stay, kill_agent])
def test_a_pod_that_starts_long_after_the_api_server_was_killed_is_captured(
    kube: Kube, target: str, begin_anew: Callable[[Kube], None]
) -> None:
    """By an agent that knows the capture, itself or from the one before it."""
    apply_all(kube, ["web"], target)
    all_captured_first(kube, 1)
    ((_, uid),) = uids(kube).items()
    old, before = pids(uid), containers(kube)
    with no_api_server(kube):
        begin_anew(kube)
        time.sleep(AWAY)
        send(signal.SIGKILL, *old)
        eventually(lambda: pids(uid), lambda seen: len(seen) > 1 and not set(old) & set(seen))
    eventually(lambda: containers(kube), lambda seen: seen and before.isdisjoint(seen))
    all_captured_first(kube, 1)
