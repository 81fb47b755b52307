"""One tenant with two hundred captures, and its neighbour."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cluster.kube import Kube, eventually
from cluster.manifests import capture, pod

COUNT = 200
JUMP = "-A PREROUTING -p tcp -j {prefix}_INBOUND"


@pytest.fixture
def neighbour(kube: Kube) -> Iterator[Kube]:
    """Work in another namespace, beside the test's."""
    beside = replace(kube, namespace=f"test-{uuid.uuid4().hex[:8]}")
    beside.run("create", "namespace", beside.namespace)
    yield beside
    beside.run("delete", "namespace", beside.namespace, "--wait=false")


def ready(item: dict[str, Any]) -> tuple[str, str] | None:
    """Return status and reason of a capture's Ready condition."""
    for found in item.get("status", {}).get("conditions", ()):
        if found["type"] == "Ready":
            return found["status"], found["reason"]
    return None


def verdicts(kube: Kube) -> dict[str, tuple[str, str] | None]:
    """Return what every capture of a namespace says."""
    return {item["metadata"]["name"]: ready(item) for item in kube.get("tcap")["items"]}


def test_two_hundred_captures_of_a_pod_are_judged_and_harm_nobody(
    kube: Kube, neighbour: Kube
) -> None:
    """The highest priority has the pod, the others say so; next door nothing is waited for."""
    kube.apply(pod("web", {"app": "web"}))
    items = [capture(f"c{number}", priority=number) for number in range(COUNT)]
    for item in items:
        item["spec"]["chainPrefix"] = f"P{item['spec']['priority']}"
    crowd = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    kube.run("create", "-f", "-", stdin=crowd)
    neighbour.apply(pod("web", {"app": "web"}))
    neighbour.apply(capture("web"))
    top = f"c{COUNT - 1}"
    expected = {f"c{number}": ("False", "Superseded") for number in range(COUNT - 1)}
    expected[top] = ("True", "AllProgrammed")
    eventually(lambda: verdicts(kube), lambda seen: seen == expected)
    eventually(lambda: verdicts(neighbour), lambda seen: seen == {"web": ("True", "AllProgrammed")})
    assert JUMP.format(prefix=f"P{COUNT - 1}") in kube.nat("web", "-S")
    kube.run("delete", "tcap", "--all", "--wait=false")
    kube.run("wait", "tcap", "--all", "--for=delete", "--timeout=60s")
    assert "-N" not in kube.nat("web", "-S")
    assert JUMP.format(prefix="ISTIO") in neighbour.nat("web", "-S")
