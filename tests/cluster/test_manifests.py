"""The API server takes everything that the chart renders, whatever is set."""

import json

import pytest

from cluster.chart_parts import rendered_for
from cluster.kube import Kube
from unit.chart.rendering import Object
from unit.chart.value_sets import VALUE_SETS


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())
def test_what_is_rendered_is_valid(kube: Kube, values: Object) -> None:
    """No field is unknown to it, no value is of the wrong kind, and it has no warning."""
    rendered = rendered_for(kube, **values)
    # CRDs are there, as another release's; they have tests of their own.
    objects = [found for found in rendered.objects if found["kind"] != "CustomResourceDefinition"]
    for found in objects:
        if found["metadata"].get("namespace") == f"{kube.namespace}-traffic-capture-test":
            found["metadata"]["namespace"] = kube.namespace  # a dry run makes no namespace
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    said = kube.run(
        "create", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "-f", "-",
        stdin=manifest,
    )  # fmt: skip
    assert len(said.splitlines()) == len(objects)
