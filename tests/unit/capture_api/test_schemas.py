"""The schemas in `crds/` and the types in `capture_api` describe the same objects."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from capture_api.capture_programs import CaptureProgramSpec
from capture_api.captures import TrafficCaptureSpec, TrafficCaptureStatus
from capture_api.names import CAPTURE_PROGRAMS, GROUP, NODE_CAPTURES, TRAFFIC_CAPTURES, VERSION
from capture_api.node_captures import NodeCaptureSpec, NodeCaptureStatus
from capture_api.programs import Proxy
from capture_api.wire import WireStruct, encode

Schema = dict[str, Any]
Kind = type[WireStruct]

CRDS = Path(__file__).resolve().parents[3] / "crds"
FILES = {
    TRAFFIC_CAPTURES: "trafficcapture.yaml",
    CAPTURE_PROGRAMS: "captureprogram.yaml",
    NODE_CAPTURES: "nodecapture.yaml",
}
PARTS = [
    (TRAFFIC_CAPTURES, "spec", TrafficCaptureSpec),
    (TRAFFIC_CAPTURES, "status", TrafficCaptureStatus),
    (CAPTURE_PROGRAMS, "spec", CaptureProgramSpec),
    (NODE_CAPTURES, "spec", NodeCaptureSpec),
    (NODE_CAPTURES, "status", NodeCaptureStatus),
]
BOUNDS = ("minimum", "maximum", "maxItems", "minLength", "maxLength", "maxProperties")

parts = pytest.mark.parametrize(("plural", "part", "kind"), PARTS)


def crd(plural: str) -> Schema:
    """Read one of the CustomResourceDefinitions."""
    loaded: Schema = yaml.safe_load((CRDS / FILES[plural]).read_text())
    return loaded


def schema_of_crd(plural: str, part: str) -> Schema:
    """Return what the API server checks a part of an object against."""
    schema: Schema = crd(plural)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found: Schema = schema["properties"][part]
    return found


def schema_of_types(kind: Kind) -> Schema:
    """Return what msgspec checks, in JSON Schema, with references resolved and `null` dropped."""
    schema = msgspec.json.schema(kind, schema_hook=lambda _: {"type": "string"})
    return resolved(schema, schema.get("$defs", {}))


def resolved(node: Schema, definitions: Schema) -> Schema:
    """Put definitions in the place of references."""
    if "anyOf" in node:
        [variant] = [one for one in node["anyOf"] if one.get("type") != "null"]
        node = {**variant, **{key: value for key, value in node.items() if key != "anyOf"}}
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    children = {
        key: resolved(node[key], definitions)
        for key in ("items", "additionalProperties")
        if isinstance(node.get(key), dict)
    }
    properties = {
        name: resolved(child, definitions) for name, child in node.get("properties", {}).items()
    }
    return {**node, **children, **({"properties": properties} if properties else {})}


def nodes(path: str, types: Schema, schema: Schema) -> Iterator[tuple[str, Schema, Schema]]:
    """Walk both descriptions side by side."""
    yield path, types, schema
    for name in types.get("properties", {}).keys() & schema.get("properties", {}).keys():
        yield from nodes(f"{path}.{name}", types["properties"][name], schema["properties"][name])
    for inner in ("items", "additionalProperties"):
        if isinstance(types.get(inner), dict) and isinstance(schema.get(inner), dict):
            yield from nodes(f"{path}[]", types[inner], schema[inner])


def described(plural: str, part: str, kind: Kind) -> Iterator[tuple[str, Schema, Schema]]:
    """Walk a kind and its schema."""
    return nodes(part, schema_of_types(kind), schema_of_crd(plural, part))


def json_type(node: Schema) -> str:
    """Return the type; msgspec leaves it out of an enumeration."""
    return str(node.get("type", "string"))


def as_json(value: object) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return a value as it comes out of JSON: lists for tuples."""
    return msgspec.json.decode(msgspec.json.encode(value))


@parts
def test_both_have_the_same_fields_of_the_same_types(plural: str, part: str, kind: Kind) -> None:
    """No field is in the one and not in the other."""
    for path, types, schema in described(plural, part, kind):
        assert json_type(types) == json_type(schema), path
        assert {*types.get("properties", {})} == {*schema.get("properties", {})}, path


@parts
def test_both_have_the_same_choices(plural: str, part: str, kind: Kind) -> None:
    """An enum has the same members."""
    for path, types, schema in described(plural, part, kind):
        if "enum" in types:
            assert sorted(types["enum"]) == sorted(schema["enum"]), path


@parts
def test_what_the_types_bound_the_schema_bounds_alike(plural: str, part: str, kind: Kind) -> None:
    """A limit is the same number on both sides."""
    for path, types, schema in described(plural, part, kind):
        for bound in BOUNDS:
            if bound in types:
                assert schema.get(bound) == types[bound], f"{path} {bound}"
        if "pattern" in types:
            assert schema.get("pattern") == types["pattern"].replace(r"\Z", "$"), path


@parts
def test_what_the_types_require_the_schema_requires(plural: str, part: str, kind: Kind) -> None:
    """What the API server stores can be read."""
    for path, types, schema in described(plural, part, kind):
        assert {*types.get("required", [])} <= {*schema.get("required", [])}, path


def test_numbers_and_lists_of_the_spec_have_the_schemas_bounds() -> None:
    """A spec from elsewhere can't be larger than one that the API server took."""
    for path, types, schema in described(TRAFFIC_CAPTURES, "spec", TrafficCaptureSpec):
        for bound in {"minimum", "maximum", "maxItems", "maxProperties"} & schema.keys():
            assert types.get(bound) == schema[bound], f"{path} {bound}"


def test_defaults_of_the_schema_are_those_of_the_types() -> None:
    """An object that went through the API server means what it meant before."""
    for path, types, schema in described(TRAFFIC_CAPTURES, "spec", TrafficCaptureSpec):
        default = as_json(types.get("default"))
        assert schema.get("default") == (None if default in ([], {}) else default), path


def test_default_of_the_proxy_is_the_default_of_its_fields() -> None:
    """Leaving out the object or a field of it is the same."""
    proxy = schema_of_crd(TRAFFIC_CAPTURES, "spec")["properties"]["proxy"]
    fields = {name: field["default"] for name, field in proxy["properties"].items()}
    assert proxy["default"] == fields == as_json(encode(Proxy()))


def without_descriptions(node: Any) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Keep what is checked of a schema."""
    if isinstance(node, dict):
        return {k: without_descriptions(v) for k, v in node.items() if k != "description"}
    return [without_descriptions(item) for item in node] if isinstance(node, list) else node


def test_terms_are_checked_alike_wherever_they_stand() -> None:
    """A schema has no way to say a thing once: its copies are held together here."""
    spec = without_descriptions(schema_of_crd(TRAFFIC_CAPTURES, "spec")["properties"])
    text = re.sub("sources|destinations", "addresses", json.dumps(spec))
    inbound, outbound = (json.loads(text)[name]["properties"] for name in ("inbound", "outbound"))
    for direction in (inbound, outbound):
        assert direction["exclude"]["items"] == direction["include"]["items"]
    received, sent = (each["include"]["items"]["properties"] for each in (inbound, outbound))
    assert {name: received[name] for name in ("ports", "addresses")} == {
        name: sent[name] for name in ("ports", "addresses")
    }
    assert sent["uids"] == sent["gids"]


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_every_field_of_a_term_counts(direction: str) -> None:
    """Each is in the number of rules, and in what makes two terms alike."""
    found = schema_of_crd(TRAFFIC_CAPTURES, "spec")["properties"][direction]
    size, _, repeated = (each["rule"] for each in found["x-kubernetes-validations"])
    for name in found["properties"]["include"]["items"]["properties"]:
        assert size.count(f"size(t.{name})") == 2
        assert f"i.{name} == e.{name}" in repeated


@pytest.mark.parametrize("plural", FILES)
def test_a_crd_is_named_after_its_kind(plural: str) -> None:
    """Group, version and plural are those that the programs use."""
    spec = crd(plural)["spec"]
    assert crd(plural)["metadata"]["name"] == f"{plural}.{GROUP}"
    assert (spec["group"], spec["names"]["plural"]) == (GROUP, plural)
    assert [version["name"] for version in spec["versions"]] == [VERSION]


def descriptions(path: str, schema: Schema) -> Iterator[tuple[str, str]]:
    """Walk the fields with what `kubectl explain` says about each."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field.get("description", "")
        yield from descriptions(f"{path}.{name}", field)
        yield from descriptions(f"{path}.{name}[]", field.get("items", {}))


@pytest.mark.parametrize("plural", FILES)
def test_kubectl_explain_says_something_about_every_field(plural: str) -> None:
    """A field without a description is a field nobody can use."""
    schema = crd(plural)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    silent = [path for path, text in descriptions(plural, schema) if not text.strip()]
    assert silent == []


def keywords(node: object) -> Iterator[str]:
    """Walk every key of a schema."""
    if isinstance(node, dict):
        yield from node
        yield from itertools.chain.from_iterable(map(keywords, node.values()))
    elif isinstance(node, list):
        yield from itertools.chain.from_iterable(map(keywords, node))


@pytest.mark.parametrize("plural", FILES)
def test_nothing_unknown_is_stored(plural: str) -> None:
    """Unknown fields are pruned everywhere."""
    assert "x-kubernetes-preserve-unknown-fields" not in {*keywords(crd(plural))}
