"""Starting the cluster and its nodes: the part of `up` that needs root."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from local_cluster import (
    cgroups,
    health,
    leftovers,
    links,
    lock,
    node_config,
    node_init,
    peering,
)
from local_cluster.checkout import Checkout, NodeFolder
from local_cluster.credentials import write_control_plane_credentials, write_node_credentials
from local_cluster.errors import LocalClusterError
from local_cluster.filesystem import is_overlay
from local_cluster.node import CONTROL_PLANE_NODE, Node
from local_cluster.privilege import give_to_invoker
from local_cluster.progress import say

IPV6 = Path("/proc/net/if_inet6")
VAR_FOLDERS = ("lib", "log", "tmp", "cache", "lib/etcd")
VAR_LINKS = {"run": "/run", "lock": "/run/lock"}


def start(checkout: Checkout, binaries: Path) -> None:
    """Start the cluster's first node; its supervisor outlives this process.

    Raises:
        LocalClusterError: another cluster runs here, or the node could not be started.
    """
    descriptor = lock.take(checkout.root)
    if removed := leftovers.clear(checkout):
        say(f"  cleared what a killed cluster left behind: {', '.join(removed)}")
    checkout.control_plane.mkdir(parents=True, mode=0o700)
    authority = write_control_plane_credentials(checkout)
    give_to_invoker(checkout.kubeconfig)
    node = CONTROL_PLANE_NODE
    folder = checkout.node(node)
    write_folder(folder, node)
    write_node_credentials(authority, node, folder.etc)
    links.create_bridge()
    cgroups.create(node)
    launch(checkout, node, binaries, [descriptor])
    say(f"  {node.name} started, its logs are in {folder.log}")


def write_folder(folder: NodeFolder, node: Node) -> None:
    """Write a node's configuration and, unless it has one, the skeleton of its /var."""
    for path in (
        folder.log,
        folder.static_pods,
        folder.etc / "cni",
        *(folder.var / name for name in VAR_FOLDERS),
    ):
        path.mkdir(parents=True, exist_ok=True)
    for name, target in VAR_LINKS.items():
        if not (folder.var / name).is_symlink():
            (folder.var / name).symlink_to(target)
    snapshotter = "native" if is_overlay(folder.path) else "overlayfs"
    ranges = (node.pods_v4, node.pods_v6) if IPV6.exists() else (node.pods_v4,)
    files = {
        "containerd.toml": node_config.containerd_toml(snapshotter),
        "cni/10-pods.conflist": node_config.pod_network_conflist(ranges),
        "kubelet.json": node_config.kubelet_json(node),
        "resolv.conf": "",  # a pod with dnsPolicy Default asks nobody
    }
    for name, text in files.items():
        (folder.etc / name).write_text(text)


def launch(checkout: Checkout, node: Node, binaries: Path, descriptors: Sequence[int]) -> None:
    """Run `node_init` in new namespaces and connect its network.

    `descriptors` become the node's: the lock that it holds, and the pidfd of the process that it
    ends with, if there is one.
    """
    arguments = [str(node.index), str(checkout.state), str(binaries), *map(str, descriptors)]
    python = [sys.executable, "-m", "local_cluster.node_init", *arguments]
    folder = checkout.node(node)
    with (folder.log / "node.log").open("ab") as log:
        init = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--fork", *python],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            pass_fds=descriptors,
            env=node_environment(),
            start_new_session=True,
        )
    connect(checkout, node, init)
    for descriptor in descriptors:
        os.close(descriptor)


def node_environment() -> dict[str, str]:
    """Return what a node inherits: nothing of the user's, such as a proxy for its own traffic."""
    inherited = ("HOME", "PATH", "PYTHONPATH")
    return {name: os.environ[name] for name in inherited if name in os.environ}


def connect(checkout: Checkout, node: Node, init: subprocess.Popen[str]) -> None:
    """Take the PID that the node hands over, connect its network, and let it go on.

    Raises:
        LocalClusterError: the node ended before that.
    """
    if init.stdout is None or init.stdin is None:
        raise AssertionError("Popen made both pipes")
    folder = checkout.node(node)
    pid = init.stdout.readline().strip()
    if not pid:
        log = (folder.log / "node.log").read_text()
        raise LocalClusterError(f"the node's PID 1 ended at once:\n{log}")
    folder.pid.write_text(f"{pid}\n")
    links.connect(node, int(pid))
    nodes = health.running_nodes(checkout)
    pids = {each: int(checkout.node(each).pid.read_text()) for each in nodes}
    peering.connect_pods(pids, ipv6=IPV6.exists())
    init.stdin.write(f"{node_init.CONNECTED}\n")
    init.stdin.close()
    init.stdout.close()
