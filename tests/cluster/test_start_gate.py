"""No packet before the capture: pods whose first act is to connect, while all sorts of things fail.

`FIRST_STARTS` says how many pods start at each go (200 takes some minutes).
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cluster import node_side
from cluster.installation import AGENT, is_ready, pods
from cluster.kube import Kube, eventually
from cluster.manifests import LISTEN, capture, pod
from cluster.node_side import kill, only_local, pod_here, run, send
from cluster.test_capture import ours, status
from local_cluster.access import Cluster

STARTS = int(os.environ.get("FIRST_STARTS", "20"))
AT_ONCE = 10
PORT = 8000

FIRST_ACT = f"""\
import socket, sys
try:
    socket.create_connection((sys.argv[1], {PORT}), timeout=20).close()
    print("escaped", flush=True)
except ConnectionRefusedError:
    print("captured", flush=True)
"""
"""Nobody listens on the redirect port: a connection that is captured is refused."""

APPLICATION = 1000
"""The image's own user is the proxy's, whose connections pass."""

AND_STAY = "import time; time.sleep(1e6)\n"


def first(name: str, target: str, program: str = FIRST_ACT, **spec: Any) -> dict[str, Any]:  # noqa: ANN401
    """Describe a pod whose first act is to connect."""
    manifest = pod_here(name, {"app": "first"}, restartPolicy="Never", **spec)
    (container,) = manifest["spec"]["containers"]
    container["command"] = ["python3", "-S", "-c", program, target]
    container["securityContext"]["runAsUser"] = APPLICATION
    return manifest


@pytest.fixture
def target(kube: Kube, cluster: Cluster) -> str:
    """Have somebody to connect to, and a capture of those who do; return its address."""
    only_local(cluster)
    manifest = pod("target")
    manifest["spec"]["containers"][0]["command"] = ["python3", "-c", LISTEN.format(port=PORT)]
    kube.apply(manifest)
    kube.apply(capture("first", app="first", outbound={"redirectPort": 15001}))
    kube.run("wait", "pod/target", "--for=condition=Ready", "--timeout=60s")
    eventually(lambda: status(kube, "first"), lambda seen: seen.get("conditions"))
    return str(kube.get("pod/target")["status"]["podIP"])


def run_to_their_end(kube: Kube, names: list[str], target: str) -> dict[str, str]:
    """Start pods all at once, and return what each printed."""
    manifests = [first(name, target) for name in names]
    kube.apply({"apiVersion": "v1", "kind": "List", "items": manifests})
    eventually(
        lambda: {
            item["metadata"]["name"]: item["status"]["phase"]
            for item in kube.get("pods", "-l", "app=first")["items"]
        },
        lambda phases: all(phases.get(name) == "Succeeded" for name in names),
    )
    printed = {name: kube.run("logs", name).strip() for name in names}
    kube.run("delete", "pod", *names, "--wait=false")
    return printed


def starts(kube: Kube, target: str, count: int, prefix: str) -> None:
    """Start that many pods, some at a time: every one is captured."""
    names = [f"{prefix}-{number}" for number in range(count)]
    for begin in range(0, count, AT_ONCE):
        printed = run_to_their_end(kube, names[begin : begin + AT_ONCE], target)
        assert set(printed.values()) == {"captured"}, printed


def test_a_pod_that_nothing_selects_escapes(kube: Kube, target: str) -> None:
    """The tests below can tell: without a capture, the connection goes where it wants."""
    kube.run("delete", "tcap", "first", "--timeout=60s")
    assert set(run_to_their_end(kube, ["control"], target).values()) == {"escaped"}


def test_the_first_connection_of_every_pod_is_captured(kube: Kube, target: str) -> None:
    """While the node churns: these pods come and go by tens."""
    starts(kube, target, STARTS, "web")


def test_pods_are_captured_before_the_operator_knows_them(kube: Kube, target: str) -> None:
    """The agent decides by the programs that it knows."""
    with node_side.stopped(node_side.OPERATOR):
        starts(kube, target, AT_ONCE, "alone")


def evidence(kube: Kube, name: str) -> dict[str, Any]:
    """Return what the agents say of a pod."""
    uid = kube.get(f"pod/{name}")["metadata"]["uid"]
    reports = kube.get("nodecaptures.trafficcapture.io")["items"]
    found = [
        each
        for report in reports
        for each in report.get("status", {}).get("pods", [])
        if each["uid"] == uid
    ]
    return found[0] if found else {}


def test_the_status_says_who_was_captured_in_time(kube: Kube, target: str) -> None:
    """And how long a late one was exposed: since its capture came."""
    kube.apply(pod_here("early", {"app": "first"}))
    kube.apply(pod_here("late", {"app": "late"}))
    kube.run("wait", "pod/late", "--for=condition=Ready", "--timeout=60s")
    kube.apply(capture("late", app="late"))
    early = eventually(lambda: evidence(kube, "early"), lambda seen: "captured" in seen)
    late = eventually(lambda: evidence(kube, "late"), lambda seen: "captured" in seen)
    assert (early["captured"], early["backend"]) == ("BeforeFirstContainer", "netlink")
    assert "exposedMilliseconds" not in early
    assert late["captured"] == "Late"
    assert 0 <= late["exposedMilliseconds"] < 60_000
    eventually(lambda: status(kube, "late")["pods"], lambda seen: seen["late"] == 1)
    assert target


def test_a_node_says_whether_its_runtime_asks(kube: Kube, cluster: Cluster) -> None:
    """By its name, for whoever wants to know why a pod was late."""
    only_local(cluster)
    (report,) = kube.get("nodecaptures.trafficcapture.io")["items"][:1]
    nri = report["status"]["agent"]["nri"]
    name = "v2" if nri["version"].startswith("v2.0.") else "containerd"
    assert (nri["connected"], nri["runtime"]) == (True, name)


def pids(uid: str) -> list[int]:
    """List the processes of a pod, the one that holds its sandbox first."""
    pattern = f"pod{uid}|pod{uid.replace('-', '_')}"
    find = 'grep -lE "$0" /proc/[0-9]*/cgroup 2>/dev/null | cut -d/ -f3; true'
    return sorted(map(int, run("sh", "-c", find, pattern).split()))


@pytest.fixture
def restarting(kube: Kube, target: str) -> str:
    """Have a captured pod that connects whenever it starts, and return its UID."""
    manifest = first("web", target, FIRST_ACT + AND_STAY)
    manifest["spec"]["restartPolicy"] = "Always"
    kube.apply(manifest)
    kube.run("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
    eventually(lambda: evidence(kube, "web"), lambda seen: "captured" in seen)
    return node_side.uid_of(kube, "web")


def running_container(kube: Kube) -> str:
    """Return the ID of the pod's running container; empty while there is none."""
    (found,) = kube.get("pod/web")["status"]["containerStatuses"]
    return str(found["containerID"]) if "running" in found["state"] else ""


def captured_anew(kube: Kube, before: str) -> None:
    """Wait until the pod has another sandbox, which was captured in time, and so is its start.

    Its network namespace may well have the inode number of the one before.
    """
    eventually(lambda: running_container(kube), lambda seen: seen not in {"", before})
    eventually(lambda: kube.run("logs", "web"), lambda printed: printed.strip() == "captured")
    holder = pids(node_side.uid_of(kube, "web"))[0]
    namespace = int(run("stat", "--dereference", "--format=%i", f"/proc/{holder}/ns/net"))
    after = eventually(
        lambda: evidence(kube, "web"),
        lambda seen: seen.get("netns", {}).get("inode") == namespace,
    )
    assert after["captured"] == "BeforeFirstContainer"


def test_a_new_sandbox_of_the_same_pod_is_captured_again(kube: Kube, restarting: str) -> None:
    """Its pause process died; no container of the new sandbox runs without rules."""
    before = running_container(kube)
    send(signal.SIGKILL, pids(restarting)[0])
    captured_anew(kube, before)


def test_a_sandbox_that_starts_without_the_api_server_is_captured(
    kube: Kube, restarting: str
) -> None:
    """The agent remembers the capture, and the kubelet the pod."""
    before, old = running_container(kube), pids(restarting)[0]
    with node_side.stopped(node_side.API_SERVER):
        send(signal.SIGKILL, old)
        eventually(lambda: pids(restarting), lambda seen: len(seen) > 1 and old not in seen)
    captured_anew(kube, before)


def brokers_and_zygote() -> list[int]:
    """List the processes that enter namespaces, and the one that they are forked from."""
    listed = run("ps", "-ww", "-eo", "pid=,args=").splitlines()
    return [int(line.split()[0]) for line in listed if "capture_agent.zygote" in line]


@contextmanager
def nobody_who_enters() -> Iterator[None]:
    """Have nobody who could enter a pod's namespace, and nobody who says so."""
    pids = brokers_and_zygote()
    assert pids, "the agent has no zygote"
    try:
        send(signal.SIGSTOP, *pids)
        yield
    finally:
        send(signal.SIGCONT, *pids)


def refusals(kube: Kube, name: str) -> list[str]:
    """List what the kubelet said of a pod's failed starts."""
    events = kube.get("events", f"--field-selector=involvedObject.name={name}")["items"]
    return [event["message"] for event in events if event["reason"] == "Failed"]


def test_a_pod_that_cannot_be_captured_does_not_start_until_it_can(kube: Kube, target: str) -> None:
    """Its Event names the capture and the cause; it needs nobody to start it then."""
    with nobody_who_enters():
        kube.apply(first("web", target))
        (said, *_) = eventually(lambda: refusals(kube, "web"))
        assert f"TrafficCapture {kube.namespace}/first can't capture this pod" in said
        assert kube.get("pod/web")["status"]["phase"] == "Pending"
    eventually(lambda: kube.get("pod/web")["status"]["phase"], lambda seen: seen == "Succeeded")
    assert kube.run("logs", "web").strip() == "captured"


def test_a_pod_that_may_start_uncaptured_does(kube: Kube, target: str) -> None:
    """FailurePolicy Ignore: it starts, and is captured late."""
    kube.patch("tcap/first", {"spec": {"failurePolicy": "Ignore"}})
    program = kube.get("captureprograms.trafficcapture.io/first")["metadata"]["resourceVersion"]
    assert program
    eventually(
        lambda: kube.get("captureprograms.trafficcapture.io/first")["spec"],
        lambda spec: spec["failurePolicy"] == "Ignore",
    )
    with nobody_who_enters():
        kube.apply(first("web", target, FIRST_ACT + AND_STAY))
        kube.run("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
    seen = eventually(lambda: evidence(kube, "web"), lambda seen: "captured" in seen)
    assert seen["captured"] == "Late"


def test_a_node_whose_agent_dies_goes_on_starting_pods(kube: Kube, target: str) -> None:
    """Killed while pods start: they start all the same, and are captured in the end."""
    names = [f"web-{number}" for number in range(AT_ONCE)]
    items = [first(name, target, FIRST_ACT + AND_STAY) for name in names]
    kube.apply({"apiVersion": "v1", "kind": "List", "items": items})
    kill(node_side.AGENT)
    kube.run("wait", "pod", "-l", "app=first", "--for=condition=Ready", "--timeout=120s")
    eventually(lambda: status(kube, "first")["pods"], lambda seen: seen["programmed"] == AT_ONCE)
    eventually(lambda: pods(kube, AGENT), lambda seen: all(map(is_ready, seen)))
    for name in names:
        assert ours(kube.nat(name, "-S"))


def test_a_runtime_that_restarts_asks_again(kube: Kube, target: str) -> None:
    """The agent finds it, and takes over what it has."""
    kill("containerd")
    eventually(lambda: runtime_is_back(kube))
    starts(kube, target, AT_ONCE, "after")


def runtime_is_back(kube: Kube) -> bool:
    """Tell whether the runtime runs again, and asks the agent."""
    nodes = kube.get("nodes")["items"]
    reports = kube.get("nodecaptures.trafficcapture.io")["items"]
    return all(
        each["status"] == "True"
        for node in nodes
        for each in node["status"]["conditions"]
        if each["type"] == "Ready"
    ) and all(report["status"]["agent"]["nri"]["connected"] for report in reports)
