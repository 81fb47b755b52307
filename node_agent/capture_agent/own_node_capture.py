"""Reading the NodeCapture of one's own node."""

from typing import Any

from capture_api.names import API_VERSION, NODE_CAPTURES
from capture_api.node_captures import NodeCapture
from capture_api.wire import MalformedObjectError, decode


def node_captures_path() -> str:
    """Where the NodeCaptures are."""
    return f"/apis/{API_VERSION}/{NODE_CAPTURES}"


def decode_node_capture(raw: dict[str, Any]) -> NodeCapture:
    """Read a NodeCapture though its status may be beyond us.

    The agent that ran here before may have been newer and may have written states that we don't
    know. That evidence is replaced by ours; it must not keep the dispatch from being read.

    Raises:
        MalformedObjectError: its metadata or its spec can't be read.
    """
    try:
        return decode(raw, NodeCapture)
    except MalformedObjectError:
        return decode({**raw, "status": {}}, NodeCapture)
