"""The local cluster's first node from the inside, where no API server is needed."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cluster.kube import Kube
from cluster.manifests import capture, pod
from local_cluster.access import Cluster, nsenter_node
from local_cluster.node import CONTROL_PLANE_NODE, Node

AGENT = "traffic-capture-agent"
OPERATOR = "traffic-capture-operator"
API_SERVER = "kube-apiserver"
KUBELET = "kubelet"


def pod_here(name: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:  # noqa: ANN401
    """Describe a pod of this node."""
    return pod(name, {"app": "web"} if labels is None else labels, **_HERE, **spec)


_HERE = {"nodeSelector": {"kubernetes.io/hostname": CONTROL_PLANE_NODE.name}}


def only_local(cluster: Cluster) -> None:
    """Skip where the node can't be entered, or is somebody's who needs it."""
    if not cluster.is_local:
        pytest.skip("kills processes of the node: for the local cluster only")


def run(*argv: str, node: Node = CONTROL_PLANE_NODE) -> str:
    """Run a command in a node, the first if none is named, and return what it printed."""
    done = subprocess.run(nsenter_node(argv, node), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


def processes(program: str, node: Node = CONTROL_PLANE_NODE) -> list[int]:
    """List the processes of a program by PID: its file, or the script that Python runs."""
    pids = []
    for line in run("ps", "-ww", "-eo", "pid=,args=", node=node).splitlines():
        pid, *words = line.split()
        if any(word.rsplit("/", 1)[-1] == program for word in words[:2]):
            pids.append(int(pid))
    return pids


def kill(program: str, node: Node = CONTROL_PLANE_NODE) -> frozenset[int]:
    """Kill the processes of a program as `kill -9` does, and return which they were."""
    pids = processes(program, node)
    assert pids, f"{program} does not run"
    send(signal.SIGKILL, *pids, node=node)
    return frozenset(pids)


def send(number: signal.Signals, *pids: int, node: Node = CONTROL_PLANE_NODE) -> None:
    """Send a signal to processes, if they are still there."""
    script = 'for pid in "$@"; do kill -s "$0" "$pid" 2>/dev/null; done; true'
    run("sh", "-c", script, number.name.removeprefix("SIG"), *map(str, pids), node=node)


def in_netns(uid: str, *command: str, node: Node = CONTROL_PLANE_NODE) -> str:
    """Run a command in the network namespace of the pod with this UID."""
    script = (
        'pid=$(grep -lE "$0" /proc/[0-9]*/cgroup 2>/dev/null | head -n 1 | cut -d/ -f3)'
        ' && exec nsenter -t "$pid" -n -- "$@"'
    )
    pattern = f"pod{uid}|pod{uid.replace('-', '_')}"
    return run("sh", "-c", script, pattern, *command, node=node)


def nat(uid: str, *command: str, node: Node = CONTROL_PLANE_NODE) -> str:
    """Run `iptables -t nat ...` in the network namespace of a pod."""
    return in_netns(uid, "iptables", "-t", "nat", *command, node=node)


def uid_of(kube: Kube, name: str) -> str:
    """Return a pod's UID."""
    return str(kube.get(f"pod/{name}")["metadata"]["uid"])


@contextmanager
def stopped(program: str) -> Iterator[None]:
    """Have the processes of a program stand still for a while."""
    pids = processes(program)
    assert pids, f"{program} does not run"
    try:
        send(signal.SIGSTOP, *pids)
        yield
    finally:
        send(signal.SIGCONT, *pids)


def captured_here(kube: Kube, name: str = "web", **spec: Any) -> str:  # noqa: ANN401
    """Start a pod on this node and a capture of it, and return the pod's UID."""
    kube.apply(pod_here(name, {"app": name}))
    kube.apply(capture(name, app=name, **spec))
    return uid_of(kube, name)
