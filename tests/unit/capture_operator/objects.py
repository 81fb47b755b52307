"""Objects as the API server sends them, small and valid."""

from typing import Any

from capture_operator.resources import (
    CAPTURES,
    NODE_REPORTS,
    NODES,
    PODS,
    ObjectKey,
    Resource,
)
from capture_operator.times import render_time

EPOCH = 1_750_000_000.0
"""The time at which tests begin."""

LONG_AGO = render_time(EPOCH - 3600)

AGENT_NAMESPACE = "traffic-capture-system"
AGENT_LABELS = {
    "app.kubernetes.io/name": "traffic-capture",
    "app.kubernetes.io/component": "node-agent",
}


def key_of(raw: dict[str, Any]) -> ObjectKey:
    """Where an object is."""
    return ObjectKey(raw["metadata"].get("namespace", ""), raw["metadata"]["name"])


def raw_object(resource: Resource, namespace: str, name: str, **fields: object) -> dict[str, Any]:
    """Make an object of a kind."""
    metadata = {"name": name, "uid": f"{resource.plural}-{namespace}-{name}"}
    if namespace:
        metadata["namespace"] = namespace
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {**metadata, "creationTimestamp": LONG_AGO, "resourceVersion": "1"},
        **fields,
    }


def raw_capture(
    name: str = "web",
    *,
    namespace: str = "demo",
    labels: dict[str, str] | None = None,
    **spec: object,
) -> dict[str, Any]:
    """Make a TrafficCapture of the pods with these labels."""
    default = {"podSelector": {"matchLabels": labels or {}}, "inbound": {"redirectPort": 15001}}
    raw = raw_object(CAPTURES, namespace, name, spec={**default, **spec})
    raw["metadata"]["generation"] = 1
    return raw


def raw_pod(  # noqa: PLR0913 - keyword arguments with defaults
    name: str,
    *,
    namespace: str = "demo",
    node: str = "node1",
    labels: dict[str, str] | None = None,
    phase: str = "Running",
    network_since: str | None = LONG_AGO,
    ready: bool = True,
) -> dict[str, Any]:
    """Make a pod whose network was set up at `network_since`; None: not yet."""
    conditions = [{"type": "Ready", "status": str(ready)}]
    ips = []
    if network_since is not None:
        ips = [{"ip": "10.244.0.9"}]
        conditions.append(
            {
                "type": "PodReadyToStartContainers",
                "status": "True",
                "lastTransitionTime": network_since,
            }
        )
    raw = raw_object(
        PODS,
        namespace,
        name,
        spec={"nodeName": node} if node else {},
        status={"phase": phase, "podIPs": ips, "conditions": conditions},
    )
    raw["metadata"]["labels"] = labels or {}
    return raw


def raw_agent(node: str, *, ready: bool = True) -> dict[str, Any]:
    """Make the node agent's pod of a node."""
    return raw_pod(
        f"agent-{node}", namespace=AGENT_NAMESPACE, node=node, labels=AGENT_LABELS, ready=ready
    )


def raw_node(name: str, *, not_ready_since: str | None = None) -> dict[str, Any]:
    """Make a node."""
    ready = {
        "type": "Ready",
        "status": "False" if not_ready_since else "True",
        "lastTransitionTime": not_ready_since or LONG_AGO,
    }
    return raw_object(NODES, "", name, status={"conditions": [ready]})


def raw_report(node: str, *, spec: object = None, status: object = None) -> dict[str, Any]:
    """Make a NodeCapture."""
    raw = raw_object(NODE_REPORTS, "", node, spec=spec or {"pods": []}, status=status or {})
    raw["metadata"]["generation"] = 1
    return raw
