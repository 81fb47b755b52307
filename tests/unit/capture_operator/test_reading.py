"""What is kept of objects as the API server sends them."""

from typing import Any

import pytest

from capture_operator.nodes import read_node
from capture_operator.pods import read_pod
from capture_operator.programs import read_program
from capture_operator.reports import read_report
from capture_operator.resources import PROGRAMS
from capture_operator.times import parse_time, render_time
from unit.capture_operator.objects import (
    EPOCH,
    raw_node,
    raw_object,
    raw_pod,
    raw_report,
)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_run_is_finished(phase: str) -> None:
    """Its sandbox goes away."""
    assert read_pod(raw_pod("a", phase=phase)).finished


def test_what_the_dispatch_needs_of_a_pod_is_kept() -> None:
    """Addresses, host network, runtime class."""
    raw = raw_pod("a", labels={"app": "web"})
    raw["spec"] |= {"hostNetwork": True, "runtimeClassName": "kata"}
    pod = read_pod(raw)
    assert (pod.ips, pod.host_network, pod.runtime_class) == (("10.244.0.9",), True, "kata")
    assert (pod.node, pod.labels) == ("node1", {"app": "web"})


MANIFEST_HASH = "0123456789abcdef" * 2
NODE_OWNER = {"apiVersion": "v1", "kind": "Node", "name": "node1", "uid": "n", "controller": True}
MIRROR = "kubernetes.io/config.mirror"


def mirror(owner: dict[str, Any], **annotations: str) -> dict[str, Any]:
    """Make a pod that this owner has, with these annotations."""
    raw = raw_pod("a")
    raw["metadata"] |= {"ownerReferences": [owner], "annotations": annotations}
    return raw


@pytest.mark.parametrize("uid", [MANIFEST_HASH, "0b5c5ea5-9d6d-4d5c-8d0a-0123456789ab"])
def test_a_mirror_leads_to_its_static_pod(uid: str) -> None:
    """By the hash of the manifest, or the UID that the manifest names."""
    assert read_pod(mirror(NODE_OWNER, **{MIRROR: uid})).static_pod_uid == uid


@pytest.mark.parametrize(
    "annotations",
    [{}, {MIRROR: ""}, {MIRROR: "../.."}, {MIRROR: f"{MANIFEST_HASH}\n"}, {"other": MANIFEST_HASH}],
)
def test_a_mirror_that_names_no_static_pod_is_a_mirror_all_the_same(
    annotations: dict[str, str],
) -> None:
    """Its own UID is nobody's on the node."""
    assert read_pod(mirror(NODE_OWNER, **annotations)).static_pod_uid == ""


@pytest.mark.parametrize(
    "owner", [NODE_OWNER | {"kind": "ReplicaSet"}, NODE_OWNER | {"controller": False}]
)
def test_a_pod_that_no_node_controls_is_no_mirror(owner: dict[str, Any]) -> None:
    """Whatever it is annotated with."""
    assert read_pod(mirror(owner, **{MIRROR: MANIFEST_HASH})).static_pod_uid is None
    assert read_pod(raw_pod("a")).static_pod_uid is None


def test_a_pod_has_a_network_since_its_sandbox_was_ready() -> None:
    """As the kubelet dates it."""
    assert read_pod(raw_pod("a", network_since=render_time(EPOCH))).network_since == EPOCH


def test_a_pod_without_addresses_has_no_network() -> None:
    """Whatever else is said of it."""
    assert read_pod(raw_pod("a", network_since=None)).network_since is None


def test_an_older_kubelet_dates_the_network_by_the_start_of_the_pod() -> None:
    """It has no condition for the sandbox."""
    raw = raw_pod("a")
    raw["status"] |= {"conditions": [], "startTime": render_time(EPOCH - 5)}
    assert read_pod(raw).network_since == EPOCH - 5


@pytest.mark.parametrize("raw", [{"metadata": {"namespace": "n", "name": "a", "uid": "u"}}])
def test_a_pod_that_says_nothing_else_can_be_read(raw: dict[str, Any]) -> None:
    """It has no node, no address, and has not finished."""
    pod = read_pod(raw)
    assert (pod.node, pod.ips, pod.finished, pod.ready) == ("", (), False, False)


def test_a_node_is_dated_by_its_condition() -> None:
    """None while it is ready."""
    assert read_node(raw_node("n")).not_ready_since is None
    since = render_time(EPOCH)
    assert read_node(raw_node("n", not_ready_since=since)).not_ready_since == EPOCH


def test_a_node_that_says_nothing_is_not_ready_since_it_was_created() -> None:
    """Its kubelet never reported."""
    raw = raw_node("n") | {"status": {}}
    assert read_node(raw).not_ready_since == EPOCH - 3600


def test_a_program_of_another_form_is_as_good_as_none() -> None:
    """It is written anew."""
    raw = raw_object(PROGRAMS, "demo", "web", spec={"schemaVersion": 99})
    assert read_program(raw).spec is None


@pytest.mark.parametrize(
    "bad", [{"pods": "none"}, {"pods": [1]}, {"agent": 7}, {"pods": [{"state": "?"}]}]
)
def test_what_cannot_be_read_of_a_report_is_left_out_and_named(bad: dict[str, Any]) -> None:
    """The rest stands."""
    good = {"uid": "u", "namespace": "n", "name": "a", "state": "Programmed"}
    pods = bad.get("pods", [])
    status = bad | {"pods": [*pods, good] if isinstance(pods, list) else pods}
    report = read_report(raw_report("node1", status=status))
    assert set(report.evidence) == ({"u"} if isinstance(pods, list) else set())
    assert report.problems


def test_times_are_read_as_they_are_written() -> None:
    """In whole seconds of UTC."""
    assert parse_time(render_time(EPOCH + 0.7)) == EPOCH
    assert render_time(EPOCH) == "2025-06-15T15:06:40Z"
    assert parse_time("") is None
