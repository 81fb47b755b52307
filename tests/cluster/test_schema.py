"""What the API server makes of the schemas: the table of specs, defaults, status, columns."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from capture_api.capture_programs import CaptureProgramSpec
from capture_api.captures import (
    DriftCounts,
    LastDrift,
    PodAttention,
    PodCounts,
    TrafficCaptureStatus,
)
from capture_api.conditions import Condition
from capture_api.names import (
    CAPTURE_PROGRAMS,
    NODE_CAPTURES,
    SCHEMA_VERSION,
    TRAFFIC_CAPTURES,
)
from capture_api.node_captures import (
    AgentInfo,
    Captured,
    DispatchedPod,
    NetnsIdentity,
    NodeCaptureSpec,
    NodeCaptureStatus,
    NriConnection,
    PastDrift,
    PodEvidence,
    PodState,
    ProgramRef,
)
from capture_api.programs import program_hash
from capture_api.resolution import decode_spec, resolve
from capture_api.wire import decode, encode
from capture_specs import (
    REFERENCE,
    REFUSED,
    REFUSED_BY_THE_SCHEMA_ALONE,
    TAKEN,
    Refused,
    Taken,
    capture,
)
from cluster.schema_group import RefusedError, SchemaGroup, kubectl, schema_group
from local_cluster import access

NOW = "2026-01-02T03:04:05Z"
DRIFT = LastDrift(
    time=NOW, pod="demo/web-0", kind="JumpMissing", expected="a", found="b", actor="a" * 256
)


@pytest.fixture(scope="module")
def cluster() -> access.Cluster:
    """Find the cluster to test on."""
    return access.cluster()


@pytest.fixture(scope="module")
def group(cluster: access.Cluster) -> Iterator[SchemaGroup]:
    """Serve the three kinds for this module."""
    with schema_group(cluster) as served:
        yield served


def named(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Build an object with a name of its own."""
    return {"kind": kind, "metadata": {"name": f"o-{uuid.uuid4().hex}"}, "spec": spec}


def resolved_reference() -> CaptureProgramSpec:
    """Resolve the reference as the operator does."""
    user_spec = decode_spec(REFERENCE)
    program = resolve(user_spec)
    return CaptureProgramSpec(
        schema_version=SCHEMA_VERSION,
        capture_uid=str(uuid.uuid4()),
        capture_generation=1,
        capture_created=NOW,
        selector=user_spec.pod_selector,
        priority=user_spec.priority,
        mode=user_spec.mode,
        suspend=user_spec.suspend,
        drift_policy=user_spec.drift_policy,
        failure_policy=user_spec.failure_policy,
        withdrawn=True,
        program=program,
        hash=program_hash(program),
    )


@pytest.mark.parametrize("taken", TAKEN, ids=lambda taken: taken.name)
def test_a_valid_spec_is_taken_and_keeps_its_meaning(group: SchemaGroup, taken: Taken) -> None:
    """Defaults that the API server fills in are those of the types."""
    stored = group.create(TRAFFIC_CAPTURES, named("TrafficCapture", taken.spec), dry_run="All")
    assert decode_spec(stored["spec"]) == decode_spec(taken.spec)


@pytest.mark.parametrize(
    "refused", [*REFUSED, *REFUSED_BY_THE_SCHEMA_ALONE], ids=lambda refused: refused.name
)
def test_an_invalid_spec_is_refused_by_field(group: SchemaGroup, refused: Refused) -> None:
    """The message has the path of the field."""
    with pytest.raises(RefusedError) as refusal:
        group.create(TRAFFIC_CAPTURES, named("TrafficCapture", refused.spec), dry_run="All")
    assert refused.field in str(refusal.value)


def test_the_chain_prefix_cannot_be_changed(group: SchemaGroup) -> None:
    """Chains of the old name would stay behind."""
    created = group.create(TRAFFIC_CAPTURES, named("TrafficCapture", capture()))
    with pytest.raises(RefusedError, match=r"spec\.chainPrefix.*immutable"):
        group.change(
            TRAFFIC_CAPTURES, created["metadata"]["name"], {"spec": {"chainPrefix": "OTHER"}}
        )


def test_a_capture_program_is_stored_as_it_was_written(group: SchemaGroup) -> None:
    """The agent reads what the operator resolved."""
    spec = resolved_reference()
    stored = group.create(CAPTURE_PROGRAMS, named("CaptureProgram", encode(spec)))
    assert decode(stored["spec"], CaptureProgramSpec) == spec


def test_a_status_is_stored_as_it_was_written(group: SchemaGroup) -> None:
    """Every field of the evidence has its place in the schema."""
    status = TrafficCaptureStatus(
        observed_generation=1,
        conditions=(
            Condition(type="Ready", status="False", reason="Drifted", last_transition_time=NOW),
        ),
        pods=PodCounts(matched=3, programmed=1, drifted=1, superseded=1, late=2),
        drift=DriftCounts(detected=2, repaired=1, last=DRIFT),
        attention=(
            PodAttention(
                pod="web-0", node="n1", state="Drifted", reason="JumpMissing", message="x" * 256
            ),
        ),
    )
    created = group.create(TRAFFIC_CAPTURES, named("TrafficCapture", capture()))
    stored = group.write_status(TRAFFIC_CAPTURES, created, encode(status))
    assert decode(stored["status"], TrafficCaptureStatus) == status


def test_a_capture_without_drift_has_no_last_drift(group: SchemaGroup) -> None:
    """`last: null` is nothing, not an error."""
    created = group.create(TRAFFIC_CAPTURES, named("TrafficCapture", capture()))
    status = TrafficCaptureStatus(observed_generation=1)
    stored = group.write_status(TRAFFIC_CAPTURES, created, encode(status))
    assert decode(stored["status"], TrafficCaptureStatus).drift == DriftCounts()


def test_a_nodes_dispatch_and_evidence_are_stored_as_they_were_written(
    group: SchemaGroup,
) -> None:
    """What the operator and the agent say to each other arrives whole."""
    spec = NodeCaptureSpec(
        pods=(
            DispatchedPod(
                uid="u1",
                namespace="demo",
                name="web-0",
                pod_ips=("10.244.0.7", "fd00::7"),
                program=ProgramRef(name="web", capture_uid="c1", generation=2, hash="0" * 16),
            ),
            DispatchedPod(uid="u2", namespace="demo", name="web-1", host_network=True),
            DispatchedPod(uid="u3", namespace="demo", name="etcd-n1", static_pod_uid="0" * 32),
            DispatchedPod(uid="u4", namespace="demo", name="etcd-n2", static_pod_uid=""),
        )
    )
    status = NodeCaptureStatus(
        observed_generation=1,
        agent=AgentInfo(
            version="0.1.0",
            ready=True,
            boot_id="7d6bd5d2-5f1a-4f1c-9a0b-9e5c2f6f7a10",
            backends=("iptables",),
            nri=NriConnection(connected=False, runtime="containerd", version="2.2.1", since=NOW),
            held_sandboxes=1,
            held_descriptors=6,
        ),
        pods=(
            PodEvidence(
                uid="u1",
                namespace="demo",
                name="web-0",
                state=PodState.PROGRAMMED,
                reason="ReadBack",
                message="equal",
                capture_uid="c1",
                generation=2,
                hash="0" * 16,
                netns=NetnsIdentity(device=4, inode=4026532008),
                backend="iptables",
                backend_reason="the table has another owner",
                captured=Captured.LATE,
                exposed_milliseconds=1234,
                ports_not_listening=(15001,),
                drift_detected=2,
                drift_repaired=2,
                last_drift=DRIFT,
            ),
        ),
        past_drift=(PastDrift(capture_uid="c1", detected=4, repaired=3),),
    )
    created = group.create(NODE_CAPTURES, named("NodeCapture", encode(spec)))
    stored = group.write_status(NODE_CAPTURES, created, encode(status))
    assert decode(stored["spec"], NodeCaptureSpec) == spec
    assert decode(stored["status"], NodeCaptureStatus) == status


@pytest.mark.parametrize(
    ("plural", "stored", "columns"),
    [
        (
            TRAFFIC_CAPTURES,
            named("TrafficCapture", REFERENCE),
            "NAMESPACE NAME READY PODS PROGRAMMED DRIFTED LAST DRIFT AGE",
        ),
        (
            CAPTURE_PROGRAMS,
            named("CaptureProgram", encode(resolved_reference())),
            "NAMESPACE NAME HASH GENERATION AGE",
        ),
        (NODE_CAPTURES, named("NodeCapture", {}), "NAME PODS AGENT VERSION READY AGE"),
    ],
    ids=[TRAFFIC_CAPTURES, CAPTURE_PROGRAMS, NODE_CAPTURES],
)
def test_kubectl_shows_the_columns(
    group: SchemaGroup, cluster: access.Cluster, plural: str, stored: dict[str, Any], columns: str
) -> None:
    """`kubectl get` answers the first questions."""
    group.create(plural, stored)
    shown = kubectl(cluster, "get", f"{plural}.{group.name}", "--all-namespaces")
    assert shown.splitlines()[0].split() == columns.split()


def test_kubectl_shows_a_capture_on_one_wide_line(
    group: SchemaGroup, cluster: access.Cluster
) -> None:
    """Numbers are numbers, and the reason of Ready is there."""
    created = group.create(TRAFFIC_CAPTURES, named("TrafficCapture", REFERENCE))
    ready = Condition(type="Ready", status="True", reason="Programmed", last_transition_time=NOW)
    status = TrafficCaptureStatus(conditions=(ready,), pods=PodCounts(matched=2, programmed=2))
    group.write_status(TRAFFIC_CAPTURES, created, encode(status))
    name = created["metadata"]["name"]
    shown = kubectl(cluster, "get", f"{TRAFFIC_CAPTURES}.{group.name}/{name}", "--output=wide")
    header, line = (row.split() for row in shown.splitlines())
    assert header[-4:] == ["MODE", "INBOUND", "OUTBOUND", "REASON"]
    assert line[:5] == [name, "True", "2", "2", "0"]
    assert line[-4:] == ["Enforce", "15001", "15001", "Programmed"]
