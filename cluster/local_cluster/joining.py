"""Adding a node to a cluster that runs: the part of `up` that needs root."""

import os
from pathlib import Path

from local_cluster import cgroups, health, leftovers, lock
from local_cluster.checkout import Checkout
from local_cluster.credentials import write_node_credentials
from local_cluster.down import end_node
from local_cluster.node import CONTROL_PLANE_NODE, Node
from local_cluster.pki import Authority
from local_cluster.progress import say
from local_cluster.start import launch, write_folder


def join(checkout: Checkout, binaries: Path, node: Node) -> None:
    """Start a further node of the running cluster; one that runs, but isn't whole, is ended first.

    Raises:
        LocalClusterError: it could not be started.
    """
    if health.is_running(checkout, node):
        end_node(checkout, node)
    folder = checkout.node(node)
    folder.path.mkdir(exist_ok=True)
    descriptor = lock.take(checkout.root, folder.lock)
    leftovers.clear_node(checkout, node)
    write_folder(folder, node)
    write_node_credentials(Authority(checkout.control_plane), node, folder.etc)
    cgroups.create(node)
    leader = os.pidfd_open(int(checkout.node(CONTROL_PLANE_NODE).pid.read_text()))
    launch(checkout, node, binaries, [descriptor, leader])
    say(f"  {node.name} started, its logs are in {folder.log}")
