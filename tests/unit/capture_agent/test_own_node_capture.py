"""The dispatch is read, whoever wrote the status."""

import pytest

from capture_agent.own_node_capture import decode_node_capture
from capture_api.node_captures import NodeCaptureStatus, PodState
from capture_api.wire import MalformedObjectError

METADATA = {"name": "node-1", "uid": "u", "resourceVersion": "5"}
POD = {"uid": "p", "namespace": "demo", "name": "web"}


def test_evidence_of_before_is_read() -> None:
    """An agent that starts again finds what it wrote."""
    raw = {"metadata": METADATA, "status": {"pods": [{**POD, "state": "Programmed"}]}}
    assert decode_node_capture(raw).status.pods[0].state is PodState.PROGRAMMED


def test_evidence_of_a_newer_agent_does_not_hide_the_dispatch() -> None:
    """After a rollback the status may hold states that this version doesn't know."""
    raw = {
        "metadata": METADATA,
        "spec": {"pods": [POD]},
        "status": {"pods": [{**POD, "state": "Levitating"}]},
    }
    node_capture = decode_node_capture(raw)
    assert node_capture.spec.pods[0].name == "web"
    assert node_capture.status == NodeCaptureStatus()


def test_a_malformed_dispatch_is_refused() -> None:
    """The field is named."""
    with pytest.raises(MalformedObjectError, match=r"\$\.spec\.pods"):
        decode_node_capture({"metadata": METADATA, "spec": {"pods": [{"uid": "p"}]}})
