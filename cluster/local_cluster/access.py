"""For tests and the demo: which cluster to use, and how to reach into the local one's nodes.

    cluster = access.cluster()
    subprocess.run([cluster.kubectl, "--kubeconfig", cluster.kubeconfig, "get", "nodes"])
    subprocess.run(access.nsenter_node(["nsenter", "-t", pid, "-n", "iptables", "-t", "nat", "-S"]))

A cluster that isn't the local one is used only if `TRAFFIC_CAPTURE_KUBECONFIG` names its
kubeconfig; `KUBECONFIG` and the current context never decide.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local_cluster import health, inside
from local_cluster.checkout import Checkout
from local_cluster.errors import ClusterNotRunningError, LocalClusterError
from local_cluster.node import CONTROL_PLANE_NODE, Node
from local_cluster.privilege import as_root

OTHER_CLUSTER = "TRAFFIC_CAPTURE_KUBECONFIG"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster and the programs that talk to it; `is_local` says whether it is ours."""

    kubeconfig: Path
    kubectl: Path
    helm: Path
    is_local: bool


def other_kubeconfig() -> Path | None:
    """Return the kubeconfig of a cluster that the user named instead of the local one.

    Raises:
        LocalClusterError: it names no file.
    """
    named = os.environ.get(OTHER_CLUSTER)
    if not named:
        return None
    path = Path(named).expanduser()
    if not path.is_file():
        raise LocalClusterError(f"{OTHER_CLUSTER}={named}: there is no such file")
    return path.resolve()


def cluster() -> Cluster:
    """Return the cluster to use.

    Raises:
        ClusterNotRunningError: none was named, and the local one doesn't run.
        LocalClusterError: what was named is no file, or its programs aren't installed.
    """
    if named := other_kubeconfig():
        return Cluster(named, _on_path("kubectl"), _on_path("helm"), is_local=False)
    checkout = Checkout.this()
    if not health.is_running(checkout):
        raise ClusterNotRunningError("the local cluster isn't running: make cluster")
    kubectl, helm = checkout.bin / "kubectl", checkout.bin / "helm"
    return Cluster(checkout.kubeconfig, kubectl, helm, is_local=True)


def nodes() -> list[Node]:
    """Return the local nodes that run, in order; none of another cluster's."""
    return [] if other_kubeconfig() else health.running_nodes(Checkout.this())


def node_pid(node: Node = CONTROL_PLANE_NODE) -> int:
    """Return the PID, as the host numbers it, of the PID 1 of a local node.

    Raises:
        ClusterNotRunningError: the node doesn't run, or another cluster was named.
    """
    if node not in nodes():
        raise ClusterNotRunningError(
            f"{node.name} of the local cluster isn't running, so it can't be entered"
        )
    return int(Checkout.this().node(node).pid.read_text())


def nsenter_node(argv: Sequence[str | Path], node: Node = CONTROL_PLANE_NODE) -> list[str]:
    """Return the command that runs `argv` as root in a local node: its mounts, PIDs and network.

    There, PIDs are the node's own, and `ctr`, `etcd` and the rest lie in `inside.BIN`.

    Raises:
        ClusterNotRunningError: as `node_pid`.
    """
    entry = ["nsenter", "--target", str(node_pid(node)), "--mount", "--net", "--pid", "--"]
    return as_root([*entry, *argv])


def ctr(node: Node = CONTROL_PLANE_NODE) -> list[str]:
    """Return the command that starts containerd's client on a local node's Kubernetes images.

    It runs on the host, so that file names in its arguments are the host's.

    Raises:
        ClusterNotRunningError: as `node_pid`.
    """
    socket = f"/proc/{node_pid(node)}/root{inside.CONTAINERD_SOCKET}"
    client = Checkout.this().bin / "ctr"
    return as_root([client, "--address", socket, "--namespace", "k8s.io"])


def _on_path(name: str) -> Path:
    found = shutil.which(name)
    if not found:
        raise LocalClusterError(f"{OTHER_CLUSTER} is set, and that needs {name} on the PATH")
    return Path(found)
