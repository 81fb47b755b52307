"""What the API server makes of clients that check nothing, and of objects from another time."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client import ApiException

from capture_api.captures import TrafficCaptureStatus
from capture_api.names import FINALIZER, TRAFFIC_CAPTURES, VERSION
from capture_api.resolution import decode_spec
from capture_api.wire import encode
from capture_specs import WEB, Spec, capture, inbound, outbound, ports, product
from cluster.kube import eventually
from cluster.schema_group import (
    NAMESPACE,
    RefusedError,
    SchemaGroup,
    kubectl,
    schema_group,
)
from local_cluster import access

SLIP: Spec = {**capture(), "outbuond": {"redirectPort": 15001}}
KIND = "TrafficCapture"


@pytest.fixture(scope="module")
def group() -> Iterator[SchemaGroup]:
    """Serve the three kinds for this module."""
    with schema_group(access.cluster()) as served:
        yield served


def named(spec: Spec) -> dict[str, Any]:
    """Build a capture with a name of its own."""
    return {"kind": KIND, "metadata": {"name": f"o-{uuid.uuid4().hex}"}, "spec": spec}


def post(group: SchemaGroup, spec: Spec, validation: str) -> tuple[Spec, str]:
    """POST a capture with this `fieldValidation`; return the spec as stored, and the warning."""
    body = {"apiVersion": f"{group.name}/{VERSION}", **named(spec)}
    stored, _, headers = group.objects.create_namespaced_custom_object_with_http_info(
        group.name, VERSION, NAMESPACE, TRAFFIC_CAPTURES, body, field_validation=validation
    )
    return stored["spec"], headers.get("Warning", "").replace("\\", "")


def test_a_strict_client_is_told_of_an_unknown_field(group: SchemaGroup) -> None:
    """Kubectl and Helm are such clients."""
    with pytest.raises(ApiException) as refused:
        post(group, SLIP, "Strict")
    assert refused.value.status == 400
    assert 'unknown field \\"spec.outbuond\\"' in str(refused.value.body)


def test_others_get_a_warning_and_lose_the_field(group: SchemaGroup) -> None:
    """What is stored is what the rest means."""
    stored, warning = post(group, SLIP, "Warn")
    assert 'unknown field "spec.outbuond"' in warning
    assert decode_spec(stored) == decode_spec(capture())


def test_whoever_asks_not_to_be_told_is_not(group: SchemaGroup) -> None:
    """The field is dropped all the same: nothing unknown is ever stored."""
    stored, warning = post(group, SLIP, "Ignore")
    assert not warning
    assert "outbuond" not in stored


def test_a_capture_that_is_empty_without_its_slip_is_refused(group: SchemaGroup) -> None:
    """Dropping a field can't make a capture of nothing."""
    with pytest.raises(ApiException) as refused:
        post(group, {"podSelector": WEB, "outbuond": {"redirectPort": 15001}}, "Ignore")
    assert refused.value.status == 422
    assert "inbound" in str(refused.value.body)


LARGEST: Spec = {
    **inbound(
        include=[{"ports": [f"{port}-65535"]} for port in range(20001, 20033)],
        exclude=[{"sources": [f"2001:db8:{n:x}:{t:x}::/64" for n in range(15)]} for t in range(32)],
    ),
    "outbound": {"redirectPort": 15001, "include": [product(64, 8)]},
}
"""512 rules each way."""


def oversized() -> Spec:
    """Build a spec of more than 250 KB within every bound but that of the rules."""
    sources = [f"2001:db8:{n:x}:ffff:ffff:ffff:ffff:0/112" for n in range(0x1000, 0x1040)]
    term = {"ports": [f"{port}-65535" for port in range(10000, 10064)]}
    return {
        **inbound(include=[{**term, "sources": sources}] * 32, exclude=[term] * 32),
        "outbound": {
            "redirectPort": 15001,
            "include": [{**term, "destinations": sources}] * 32,
        },
    }


def test_the_largest_capture_can_be_applied(group: SchemaGroup) -> None:
    """Kubectl keeps a second copy of it in an annotation."""
    body = {"apiVersion": f"{group.name}/{VERSION}", **named(LARGEST)}
    kubectl(access.cluster(), "apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(body))


def test_a_huge_capture_is_refused_in_few_words(group: SchemaGroup) -> None:
    """250 KB within every single bound: the answer is about the rules, and not 250 KB long."""
    spec = oversized()
    assert len(json.dumps(spec)) > 250_000
    with pytest.raises(RefusedError) as refused:
        group.create(TRAFFIC_CAPTURES, named(spec))
    said = str(refused.value)
    assert "expand to more than 512 rules" in said
    assert len(said) < 4_000


def test_one_value_of_a_megabyte_is_refused_in_few_words(group: SchemaGroup) -> None:
    """An answer does not repeat what it was given."""
    for spec in (
        capture(chainPrefix="A" * 1_000_000),
        inbound(include=[{"ports": ["1" * 1_000_000]}]),
        outbound(include=[{"destinations": ["1" * 1_000_000]}]),
        inbound(include=[{"ports": ports(45_000)}]),
    ):
        with pytest.raises(RefusedError) as refused:
            group.create(TRAFFIC_CAPTURES, named(spec))
        assert len(str(refused.value)) < 10_000


@pytest.fixture
def stored_long_ago(group: SchemaGroup) -> dict[str, Any]:
    """Store a capture under a schema that checked nothing, and serve today's again."""
    crd = f"crd/{TRAFFIC_CAPTURES}.{group.name}"
    cluster = access.cluster()
    pointer = "/spec/versions/0/schema/openAPIV3Schema/properties/spec"
    strict = json.loads(kubectl(cluster, "get", crd, "-o", "json"))
    spec_schema = strict["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    bad = named(capture(chainPrefix="a b", inbound={"redirectPort": 0}, color="blue"))

    def serve(schema: object) -> None:
        patch = json.dumps([{"op": "replace", "path": pointer, "value": schema}])
        kubectl(cluster, "patch", crd, "--type=json", "-p", patch)

    def is_taken(spec: Spec) -> bool:
        try:
            group.create(TRAFFIC_CAPTURES, named(spec), dry_run="All")
        except RefusedError:
            return False
        return True

    serve(loose)
    try:
        eventually(lambda: is_taken(bad["spec"]))
        stored = group.create(TRAFFIC_CAPTURES, bad)
    finally:
        serve(spec_schema)
    eventually(lambda: not is_taken(bad["spec"]))
    return stored


def test_what_an_older_schema_let_in_can_be_judged_held_and_deleted(
    group: SchemaGroup, stored_long_ago: dict[str, Any]
) -> None:
    """The operator can say what is wrong with it, and it never sticks."""
    name = stored_long_ago["metadata"]["name"]
    status = TrafficCaptureStatus(observed_generation=1)
    written = group.write_status(TRAFFIC_CAPTURES, stored_long_ago, encode(status))
    assert written["status"]["observedGeneration"] == 1
    held = group.change(TRAFFIC_CAPTURES, name, {"metadata": {"finalizers": [FINALIZER]}})
    assert held["metadata"]["finalizers"] == [FINALIZER]
    where = (group.name, VERSION, NAMESPACE, TRAFFIC_CAPTURES, name)
    group.objects.delete_namespaced_custom_object(*where)
    group.change(TRAFFIC_CAPTURES, name, {"metadata": {"finalizers": []}})
    with pytest.raises(ApiException, match="404"):
        group.objects.get_namespaced_custom_object(*where)


def test_what_an_older_schema_let_in_can_be_corrected_but_not_worsened(
    group: SchemaGroup, stored_long_ago: dict[str, Any]
) -> None:
    """One correct value at a time; its chain prefix, which no pod ever had, stays immutable."""
    name = stored_long_ago["metadata"]["name"]
    corrected = group.change(TRAFFIC_CAPTURES, name, {"spec": {"inbound": {"redirectPort": 15001}}})
    assert corrected["spec"]["inbound"]["redirectPort"] == 15001
    with pytest.raises(RefusedError, match=r"spec\.inbound\.redirectPort"):
        group.change(TRAFFIC_CAPTURES, name, {"spec": {"inbound": {"redirectPort": 70000}}})
