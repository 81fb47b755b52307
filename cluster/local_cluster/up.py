"""`make cluster`: from whatever state the machine is in to a cluster that takes pods."""

import subprocess
import time
from pathlib import Path

from local_cluster import cluster_dns, health, lock, packages
from local_cluster.access import OTHER_CLUSTER, other_kubeconfig
from local_cluster.binaries import binaries
from local_cluster.cache import locked
from local_cluster.checkout import Checkout, NodeFolder
from local_cluster.down import stop
from local_cluster.errors import LocalClusterError
from local_cluster.node import CONTROL_PLANE_NODE, Node
from local_cluster.privilege import this_module_as_root
from local_cluster.progress import say, step

READY_SECONDS = 120.0
ANSWER_SECONDS = 60.0
POLL_SECONDS = 0.1


def up(checkout: Checkout, nodes: int) -> None:
    """Bring the cluster up with so many nodes or more; what is up is left alone.

    Raises:
        LocalClusterError: another checkout's cluster runs, or something is missing or failed.
    """
    if other := other_kubeconfig():
        say(f"{OTHER_CLUSTER} is set: using that cluster, starting none")
        print(f"export KUBECONFIG={other}")
        return
    with locked(checkout.state / "commands.lock"):
        running = lock.holder()
        if running not in {None, checkout.root}:
            raise LocalClusterError(lock.runs_elsewhere(running))
        if running and is_fit(checkout, CONTROL_PLANE_NODE):
            say("the local cluster is up already")
        else:
            bring_up(checkout)
        cluster_dns.ensure(checkout)
        for node in map(Node, range(CONTROL_PLANE_NODE.index + 1, nodes + 1)):
            add(checkout, node)
    print(f"export KUBECONFIG={checkout.kubeconfig}")


def is_fit(checkout: Checkout, node: Node) -> bool:
    """Say whether a running node can stay as it is; if it can't, tell why."""
    found = ailment(checkout, node)
    if found:
        say(f"{found}; starting it again")
    return found is None


def ailment(checkout: Checkout, node: Node) -> str | None:
    """Say what is wrong with a running node; None if it has all of its parts and takes pods.

    One that has all of its parts gets the time to answer: it may be busy, or just starting, and to
    start it again would cost whoever uses it everything.
    """
    deadline = time.monotonic() + ANSWER_SECONDS
    while not (ended := health.node_health(checkout.node(node).parts).ended):
        if is_up(checkout, node):
            return None
        if time.monotonic() > deadline:
            return f"{node.name}: not Ready, or the API server doesn't say so"
        time.sleep(POLL_SECONDS)
    return f"{node.name}: {', '.join(f'{part} ended with {how}' for part, how in ended.items())}"


def add(checkout: Checkout, node: Node) -> None:
    """Add a node to the running cluster, or bring back one that ended."""
    if health.is_running(checkout, node) and is_fit(checkout, node):
        say(f"{node.name} is up already")
        return
    built = checkout.bin.resolve()
    with step(f"adding {node.name}"):
        as_root_do("join", str(built), str(node.index))
        wait_until_ready(checkout, node)


def bring_up(checkout: Checkout) -> None:
    """Start the cluster anew."""
    if health.running_nodes(checkout):
        stop(checkout)
    packages.ensure(packages.NODE)
    built = binaries(checkout)
    with step("starting the cluster"):
        as_root_do("start", str(built))
    link(checkout.bin, built)
    with step("waiting for the node to be Ready"):
        wait_until_ready(checkout, CONTROL_PLANE_NODE)


def as_root_do(*arguments: str) -> None:
    """Run a command of this module with root rights."""
    if subprocess.run(this_module_as_root(*arguments), check=False).returncode != 0:
        raise LocalClusterError("the cluster did not start")


def link(path: Path, target: Path) -> None:
    """Point a symbolic link at a folder, whatever was there."""
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def wait_until_ready(checkout: Checkout, node: Node) -> None:
    """Wait until a node takes pods.

    Raises:
        LocalClusterError: the node ended, one of its parts did, or it takes too long.
    """
    folder = checkout.node(node)
    deadline = time.monotonic() + READY_SECONDS
    while not is_up(checkout, node):
        if not health.is_running(checkout, node):
            raise LocalClusterError(f"the node ended; its log says:\n{last_lines(folder)}")
        if ended := health.node_health(folder.parts).ended:
            raise LocalClusterError(f"not running any more: {ended}; logs are in {folder.log}")
        if time.monotonic() > deadline:
            raise LocalClusterError(f"not Ready in {READY_SECONDS:.0f} s; logs in {folder.log}")
        time.sleep(POLL_SECONDS)


def is_up(checkout: Checkout, node: Node) -> bool:
    """Say whether a node has started all of its parts and takes pods."""
    report = checkout.node(node).parts
    return health.node_health(report).phase == "running" and health.is_ready(checkout, node)


def last_lines(folder: NodeFolder) -> str:
    """Return the end of the supervisor's log."""
    return "\n".join((folder.log / "node.log").read_text().splitlines()[-10:])
