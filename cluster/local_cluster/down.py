"""`make cluster-down`: end the nodes and leave nothing of it on this machine."""

import os
import select
import signal
import subprocess

from local_cluster import health, leftovers, lock
from local_cluster.cache import locked
from local_cluster.checkout import Checkout
from local_cluster.errors import LocalClusterError
from local_cluster.node import Node
from local_cluster.privilege import is_root, this_module_as_root
from local_cluster.progress import say

EXIT_SECONDS = 30.0


def down(checkout: Checkout) -> None:
    """Stop this checkout's cluster and clear what it, or a killed one, left behind.

    Raises:
        LocalClusterError: the cluster that runs is another checkout's.
    """
    with locked(checkout.state / "commands.lock"):
        running = lock.holder()
        if running not in {None, checkout.root}:
            raise LocalClusterError(lock.runs_elsewhere(running))
        stop(checkout)
    say("the local cluster is down" if running else "no local cluster was running")


def stop(checkout: Checkout) -> None:
    """End the cluster, as root."""
    if is_root():
        stop_as_root(checkout)
    elif subprocess.run(this_module_as_root("stop"), check=False).returncode != 0:
        raise LocalClusterError("the cluster could not be stopped")


def stop_as_root(checkout: Checkout) -> None:
    """Kill each node's PID 1, wait until the kernel has ended the rest, and clear up."""
    for node in reversed(health.running_nodes(checkout)):
        end_node(checkout, node)
    descriptor = lock.take(checkout.root)
    try:
        leftovers.clear(checkout)
    finally:
        os.close(descriptor)


def end_node(checkout: Checkout, node: Node) -> None:
    """End one node with everything that runs in it, as root."""
    kill(int(checkout.node(node).pid.read_text()))


def kill(pid: int) -> None:
    """Kill a PID namespace by its PID 1, which ends only after all of its processes have."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        ended, _, _ = select.select([descriptor], [], [], EXIT_SECONDS)
    finally:
        os.close(descriptor)
    if not ended:
        raise LocalClusterError(f"the node's PID 1 (PID {pid}) doesn't end")
