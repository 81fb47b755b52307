"""How the cluster of this checkout is: what its supervisor and its API server say."""

import json
from dataclasses import dataclass
from pathlib import Path

from local_cluster import lock
from local_cluster.checkout import Checkout
from local_cluster.commands import run
from local_cluster.errors import LocalClusterError
from local_cluster.node import CONTROL_PLANE_NODE, Node


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """What a node's supervisor last wrote.

    `phase` is `starting` or `running`; `parts` maps each part to "running" or how it ended.
    """

    phase: str
    parts: dict[str, str]

    @property
    def ended(self) -> dict[str, str]:
        """The parts that should run and don't."""
        return {name: state for name, state in self.parts.items() if state != "running"}


def is_running(checkout: Checkout, node: Node = CONTROL_PLANE_NODE) -> bool:
    """Say whether this checkout's node runs; if the first does, its cluster does."""
    return lock.holder(node_lock(checkout, node)) == checkout.root


def node_lock(checkout: Checkout, node: Node) -> Path:
    """Return the lock that a node's PID 1 holds: the first one's is the machine's."""
    return lock.LOCK if node == CONTROL_PLANE_NODE else checkout.node(node).lock


def running_nodes(checkout: Checkout) -> list[Node]:
    """Return the nodes of this checkout's cluster that run, in order."""
    return [node for node in checkout.nodes() if is_running(checkout, node)]


def node_health(report: Path) -> NodeHealth:
    """Read a supervisor's report; before its first one, nothing is known yet."""
    try:
        content = json.loads(report.read_text())
    except FileNotFoundError:
        return NodeHealth("starting", {})
    parts = {name: part.get("ended", "running") for name, part in content["parts"].items()}
    return NodeHealth(content["phase"], parts)


def is_ready(checkout: Checkout, node: Node = CONTROL_PLANE_NODE) -> bool:
    """Say whether the API server answers, the node is Ready and pods can be created.

    A pod needs its namespace's default service account, which a controller makes. The kubelet is
    asked as well: of a node that ended, the API server says for a while that it is Ready.
    """
    condition = '{.status.conditions[?(@.type=="Ready")].status}'
    ready = _kubectl(checkout, "get", "node", node.name, "-o", f"jsonpath={condition}")
    return (
        ready == "True"
        and bool(_kubectl(checkout, "get", "sa", "default", "-o", "name"))
        and _kubectl(checkout, "get", "--raw", f"/api/v1/nodes/{node.name}/proxy/healthz") == "ok"
    )


def _kubectl(checkout: Checkout, *arguments: str) -> str:
    options = [f"--kubeconfig={checkout.kubeconfig}", "--request-timeout=5s"]
    try:
        return run([checkout.bin / "kubectl", *options, *arguments])
    except LocalClusterError:  # it doesn't answer yet, or any more: that is the answer
        return ""
