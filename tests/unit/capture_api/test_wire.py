"""API objects as JSON."""

from typing import Any

import msgspec
import pytest
from hypothesis import given

from capture_api.capture_programs import CaptureProgramSpec
from capture_api.captures import TrafficCapture, TrafficCaptureSpec
from capture_api.node_captures import DispatchedPod, NodeCaptureStatus, PodEvidence, PodState
from capture_api.selection import LabelSelector
from capture_api.wire import MalformedObjectError, decode, encode, wire_name
from capture_specs import REFERENCE, TAKEN, Taken
from unit.capture_api.values import capture_program_specs, selectors


def over_the_wire(value: object) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Encode a value and read it back as JSON."""
    return msgspec.json.decode(msgspec.json.encode(encode(value)))


@given(capture_program_specs())
def test_a_resolved_capture_survives_the_wire(spec: CaptureProgramSpec) -> None:
    """The agent reads what the operator wrote."""
    assert decode(over_the_wire(spec), CaptureProgramSpec) == spec


@given(selectors)
def test_a_selector_survives_the_wire(selector: LabelSelector) -> None:
    """Defaults are left out and come back."""
    assert decode(over_the_wire(selector), LabelSelector) == selector


@pytest.mark.parametrize("taken", TAKEN, ids=lambda taken: taken.name)
def test_a_spec_survives_the_wire(taken: Taken) -> None:
    """What a user wrote means the same after we wrote it."""
    spec = decode(taken.spec, TrafficCaptureSpec)
    assert decode(over_the_wire(spec), TrafficCaptureSpec) == spec


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("hash", "hash"),
        ("redirect_port", "redirectPort"),
        ("capture_uid", "captureUID"),
        ("pod_ips", "podIPs"),
        ("uid", "uid"),
        ("uids", "uids"),
    ],
)
def test_names_are_written_as_kubernetes_writes_them(field: str, name: str) -> None:
    """camelCase, with initialisms in capitals except at the start."""
    assert wire_name(field) == name


def test_unknown_fields_are_no_error() -> None:
    """An older operator reads a newer object."""
    assert decode({**REFERENCE, "later": 1}, TrafficCaptureSpec).chain_prefix == "ISTIO"


def test_an_error_ends_with_the_path_of_the_field() -> None:
    """Whoever reads it finds the place."""
    raw = {"metadata": {"name": "web"}}
    with pytest.raises(MalformedObjectError, match=r"`uid` - at `\$\.metadata`$"):
        decode(raw, TrafficCapture)


def test_one_bad_spec_spoils_nothing_else() -> None:
    """The spec of a TrafficCapture is decoded on its own, later."""
    raw = {"metadata": {"name": "web", "uid": "u"}, "spec": {"priority": "high"}}
    assert decode(raw, TrafficCapture).metadata.name == "web"


def test_a_pod_that_nothing_captures_has_no_program() -> None:
    """`none` is said by absence."""
    pod = DispatchedPod(uid="u", namespace="demo", name="web")
    assert encode(pod) == {"uid": "u", "namespace": "demo", "name": "web"}


def test_an_agent_that_is_not_ready_says_so() -> None:
    """A column shows `false`, not nothing."""
    assert encode(NodeCaptureStatus())["agent"]["ready"] is False


def test_a_status_counts_its_pods() -> None:
    """The count is the list's length, whatever somebody claims."""
    pod = PodEvidence(uid="u", namespace="demo", name="web", state=PodState.PENDING)
    assert encode(NodeCaptureStatus(pods=(pod,), pod_count=7))["podCount"] == 1
    assert decode({"podCount": 7}, NodeCaptureStatus).pod_count == 0
