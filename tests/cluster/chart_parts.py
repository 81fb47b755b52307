"""Parts of the chart beside the installed release, and clients with other people's tokens."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.kube import Kube
from unit.chart.rendering import Object, Rendered, render

POLICIES = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


def rendered_for(kube: Kube, **values: Any) -> Rendered:  # noqa: ANN401
    """Render a release of the namespace's name, in that namespace."""
    return render(values, release=kube.namespace, namespace=kube.namespace)


@contextmanager
def present(kube: Kube, objects: list[Object]) -> Iterator[None]:
    """Have these objects in the cluster for a while."""
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    try:
        kube.run("apply", "-f", "-", stdin=manifest)
        yield
    finally:
        kube.run("delete", "--ignore-not-found", "--wait=false", "-f", "-", stdin=manifest)


def with_token(kube: Kube, token: str, folder: Path) -> Kube:
    """Reach the same cluster with nothing but this token."""
    config = yaml.safe_load(kube.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    kubeconfig = folder / f"{abs(hash(token))}.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    return replace(kube, kubeconfig=kubeconfig)


def refusal(kube: Kube, *arguments: str, stdin: str | None = None) -> str:
    """Run kubectl, which the API server has to refuse; return what it said."""
    with pytest.raises(AssertionError) as refused:
        kube.run(*arguments, stdin=stdin)
    return str(refused.value)
