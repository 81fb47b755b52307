"""`python3 -m local_cluster status`: what runs, as far as anybody can tell."""

from local_cluster import health, lock
from local_cluster.checkout import Checkout
from local_cluster.errors import ClusterNotRunningError, LocalClusterError
from local_cluster.node import CONTROL_PLANE_NODE


def status(checkout: Checkout) -> None:
    """Print the node's parts and whether it takes pods.

    Raises:
        LocalClusterError: no cluster runs, or it isn't as it should be.
    """
    running = lock.holder()
    if running is None:
        raise ClusterNotRunningError("no local cluster runs; start one with: make cluster")
    if running != checkout.root:
        raise LocalClusterError(lock.runs_elsewhere(running))
    folder = checkout.node(CONTROL_PLANE_NODE)
    found = health.node_health(folder.parts)
    for name, state in found.parts.items():
        print(f"{name:24} {state}")
    ready = health.is_ready(checkout)
    print(f"{CONTROL_PLANE_NODE.name:24} {'Ready' if ready else 'not Ready'}")
    if found.ended or not ready:
        raise LocalClusterError(f"the cluster isn't whole; its logs are in {folder.log}")
