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
from local_cluster.node import CONTROL_PLANE_NODE
from local_cluster.privilege import this_module_as_root
from local_cluster.progress import say, step

READY_SECONDS = 120.0
POLL_SECONDS = 0.1


def up(checkout: Checkout) -> None:
    """Bring the cluster up, or leave it alone if it is.

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
        if running and is_whole(checkout):
            say("the local cluster is up already")
        else:
            bring_up(checkout)
        cluster_dns.ensure(checkout)
    print(f"export KUBECONFIG={checkout.kubeconfig}")


def is_whole(checkout: Checkout) -> bool:
    """Say whether the running cluster has lost none of its parts and takes pods."""
    report = checkout.node(CONTROL_PLANE_NODE).parts
    return not health.node_health(report).ended and health.is_ready(checkout)


def bring_up(checkout: Checkout) -> None:
    """Start the cluster anew."""
    if health.is_running(checkout):
        say("the local cluster runs but isn't whole: starting it again")
        stop(checkout)
    packages.ensure(packages.NODE)
    built = binaries(checkout)
    with step("starting the cluster"):
        start_as_root(built)
    link(checkout.bin, built)
    with step("waiting for the node to be Ready"):
        wait_until_ready(checkout)


def start_as_root(built: Path) -> None:
    """Run `start` with root rights."""
    if subprocess.run(this_module_as_root("start", str(built)), check=False).returncode != 0:
        raise LocalClusterError("the cluster did not start")


def link(path: Path, target: Path) -> None:
    """Point a symbolic link at a folder, whatever was there."""
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def wait_until_ready(checkout: Checkout) -> None:
    """Wait until pods can be created.

    Raises:
        LocalClusterError: the node ended, one of its parts did, or it takes too long.
    """
    folder = checkout.node(CONTROL_PLANE_NODE)
    deadline = time.monotonic() + READY_SECONDS
    while not (health.node_health(folder.parts).phase == "running" and health.is_ready(checkout)):
        if not health.is_running(checkout):
            raise LocalClusterError(f"the node ended; its log says:\n{last_lines(folder)}")
        if ended := health.node_health(folder.parts).ended:
            raise LocalClusterError(f"not running any more: {ended}; logs are in {folder.log}")
        if time.monotonic() > deadline:
            raise LocalClusterError(f"not Ready in {READY_SECONDS:.0f} s; logs in {folder.log}")
        time.sleep(POLL_SECONDS)


def last_lines(folder: NodeFolder) -> str:
    """Return the end of the supervisor's log."""
    return "\n".join((folder.log / "node.log").read_text().splitlines()[-10:])
