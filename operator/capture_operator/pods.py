"""What the operator keeps of a Pod: a small part, since a cluster has many of them."""

import re
from typing import Any, Final

import msgspec

from capture_operator.times import parse_time

_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_AGENT_LABELS: Final = {
    "app.kubernetes.io/name": "traffic-capture",
    "app.kubernetes.io/component": "node-agent",
}
# The kubelet's own word, which the API server lets nobody add to a pod or change. A manifest may
# name a UID of its own; else it is the hash of the manifest.
# https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-config-mirror
_MIRROR: Final = "kubernetes.io/config.mirror"
_STATIC_POD_UID: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Pod(msgspec.Struct, frozen=True):
    """One pod; equal when nothing that we decide by has changed.

    `network_since` is when its network was set up, in seconds since the epoch: before that it
    has no traffic, and no agent can capture it. None until then. `created` is when the pod was.

    `static_pod_uid` is, of the mirror of a static pod, the UID under which the kubelet runs that
    one; empty if the mirror has none that the kubelet could have given. None of any other pod.
    """

    namespace: str
    name: str
    uid: str
    labels: dict[str, str]
    node: str
    finished: bool
    host_network: bool
    runtime_class: str
    static_pod_uid: str | None
    ips: tuple[str, ...]
    created: float | None
    network_since: float | None
    ready: bool

    def is_agent(self, namespace: str) -> bool:
        """Whether this is a node agent of the installation in that namespace."""
        return self.namespace == namespace and _AGENT_LABELS.items() <= self.labels.items()


def read_pod(raw: dict[str, Any]) -> Pod:
    """Take what we need from a Pod as the API server sends it."""
    metadata, spec, status = raw["metadata"], raw.get("spec", {}), raw.get("status", {})
    conditions = {item["type"]: item for item in status.get("conditions") or ()}
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        labels=metadata.get("labels") or {},
        node=spec.get("nodeName", ""),
        finished=status.get("phase") in _FINISHED,
        host_network=bool(spec.get("hostNetwork")),
        runtime_class=spec.get("runtimeClassName", ""),
        static_pod_uid=_static_pod_uid(metadata),
        ips=tuple(item["ip"] for item in status.get("podIPs") or ()),
        created=parse_time(metadata.get("creationTimestamp") or ""),
        network_since=_network_since(metadata, status, conditions),
        ready=conditions.get("Ready", {}).get("status") == "True",
    )


def _static_pod_uid(metadata: dict[str, Any]) -> str | None:
    owners = metadata.get("ownerReferences") or ()
    if not any(owner.get("kind") == "Node" and owner.get("controller") for owner in owners):
        return None
    uid = (metadata.get("annotations") or {}).get(_MIRROR, "")
    return uid if _STATIC_POD_UID.fullmatch(uid) else ""


def _network_since(
    metadata: dict[str, Any], status: dict[str, Any], conditions: dict[str, Any]
) -> float | None:
    if not status.get("podIPs"):
        return None
    # PodReadyToStartContainers turns True when the sandbox and its network are there; a kubelet
    # without it says at least when it saw the pod.
    network = conditions.get("PodReadyToStartContainers", {})
    if network.get("status") == "True":
        return parse_time(network.get("lastTransitionTime") or "")
    return parse_time(status.get("startTime") or metadata.get("creationTimestamp") or "")
