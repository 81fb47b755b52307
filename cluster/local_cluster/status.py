"""`python3 -m local_cluster status`: what runs, as far as anybody can tell."""

from local_cluster import health, lock
from local_cluster.checkout import Checkout
from local_cluster.errors import ClusterNotRunningError, LocalClusterError
from local_cluster.node import Node


def status(checkout: Checkout) -> None:
    """Print the nodes' parts and whether they take pods.

    Raises:
        LocalClusterError: no cluster runs, or it isn't as it should be.
    """
    running = lock.holder()
    if running is None:
        raise ClusterNotRunningError("no local cluster runs; start one with: make cluster")
    if running != checkout.root:
        raise LocalClusterError(lock.runs_elsewhere(running))
    nodes = checkout.nodes()
    whole = [node for node in nodes if shown(checkout, node)]
    if broken := [node for node in nodes if node not in whole]:
        logs = ", ".join(str(checkout.node(node).log) for node in broken)
        message = f"the cluster isn't whole: make cluster NODES={nodes[-1].index}; logs: {logs}"
        raise LocalClusterError(message)


def shown(checkout: Checkout, node: Node) -> bool:
    """Print a node's parts and whether it takes pods; return whether it is as it should be."""
    if not health.is_running(checkout, node):
        print(f"{node.name:32} ended")
        return False
    found = health.node_health(checkout.node(node).parts)
    for name, state in found.parts.items():
        print(f"{node.name:7} {name:24} {state}")
    ready = health.is_ready(checkout, node)
    print(f"{node.name:32} {'Ready' if ready else 'not Ready'}")
    return ready and not found.ended
