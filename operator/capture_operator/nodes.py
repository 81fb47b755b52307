"""What the operator keeps of a Node."""

from typing import Any

import msgspec

from capture_operator.times import parse_time


class Node(msgspec.Struct, frozen=True):
    """One node; `not_ready_since` is None while its kubelet reports it ready."""

    name: str
    uid: str
    not_ready_since: float | None


def read_node(raw: dict[str, Any]) -> Node:
    """Take what we need from a Node as the API server sends it."""
    metadata = raw["metadata"]
    conditions = raw.get("status", {}).get("conditions") or ()
    ready: dict[str, Any] = next((item for item in conditions if item["type"] == "Ready"), {})
    since = None
    if ready.get("status") != "True":
        since = parse_time(ready.get("lastTransitionTime") or metadata["creationTimestamp"])
    return Node(name=metadata["name"], uid=metadata["uid"], not_ready_since=since)
