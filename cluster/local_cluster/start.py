"""Starting the nodes: the part of `up` that needs root."""

import os
import subprocess
import sys
from pathlib import Path

from local_cluster import cgroups, leftovers, links, lock, node_config, node_init
from local_cluster.checkout import Checkout, NodeFolder
from local_cluster.credentials import write_control_plane_credentials, write_node_credentials
from local_cluster.errors import LocalClusterError
from local_cluster.filesystem import is_overlay
from local_cluster.node import CONTROL_PLANE_NODE, Node
from local_cluster.privilege import give_to_invoker
from local_cluster.progress import say

IPV6 = Path("/proc/net/if_inet6")
VAR_FOLDERS = ("lib", "log", "tmp", "cache", "lib/etcd")


def start(checkout: Checkout, binaries: Path) -> None:
    """Start the cluster's node; its supervisor outlives this process.

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
    launch(checkout, node, binaries, descriptor)
    say(f"  {node.name} started, its logs are in {folder.log}")


def write_folder(folder: NodeFolder, node: Node) -> None:
    """Write a node's configuration and the skeleton of its /var."""
    for path in (folder.log, folder.etc / "cni", *(folder.var / name for name in VAR_FOLDERS)):
        path.mkdir(parents=True)
    (folder.var / "run").symlink_to("/run")
    (folder.var / "lock").symlink_to("/run/lock")
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


def launch(checkout: Checkout, node: Node, binaries: Path, lock_descriptor: int) -> None:
    """Run `node_init` in new namespaces and connect its network."""
    arguments = [str(node.index), str(lock_descriptor), str(checkout.state), str(binaries)]
    python = [sys.executable, "-m", "local_cluster.node_init", *arguments]
    folder = checkout.node(node)
    with (folder.log / "node.log").open("ab") as log:
        init = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--fork", *python],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            pass_fds=[lock_descriptor],
            env=node_environment(),
            start_new_session=True,
        )
    connect(node, init, folder)
    os.close(lock_descriptor)


def node_environment() -> dict[str, str]:
    """Return what a node inherits: nothing of the user's, such as a proxy for its own traffic."""
    inherited = ("HOME", "PATH", "PYTHONPATH")
    return {name: os.environ[name] for name in inherited if name in os.environ}


def connect(node: Node, init: subprocess.Popen[str], folder: NodeFolder) -> None:
    """Take the PID that the node hands over, plug the veth in, and let it go on.

    Raises:
        LocalClusterError: the node ended before that.
    """
    if init.stdout is None or init.stdin is None:
        raise AssertionError("Popen made both pipes")
    pid = init.stdout.readline().strip()
    if not pid:
        log = (folder.log / "node.log").read_text()
        raise LocalClusterError(f"the node's PID 1 ended at once:\n{log}")
    folder.pid.write_text(f"{pid}\n")
    links.connect(node, int(pid))
    init.stdin.write(f"{node_init.CONNECTED}\n")
    init.stdin.close()
    init.stdout.close()
