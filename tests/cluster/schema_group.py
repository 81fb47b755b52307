"""The three kinds in a group of their own, beside an installed traffic-capture.

What is stored here is read by no operator, and no CRD of the cluster is touched.
"""

import json
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes.client import ApiException, CustomObjectsApi
from kubernetes.config import new_client_from_config

from capture_api.names import VERSION
from local_cluster.access import Cluster

Json = dict[str, Any]

CRDS = Path(__file__).resolve().parents[2] / "crds"
NAMESPACE = "default"
CLUSTER_KINDS = {"NodeCapture"}


class RefusedError(Exception):
    """What the API server said when it refused an object."""


@dataclass(frozen=True, slots=True)
class SchemaGroup:
    """A served copy of the three kinds; `objects` is a `CustomObjectsApi`."""

    name: str
    objects: Any

    def create(self, plural: str, body: Json, *, dry_run: str | None = None) -> Json:
        """Create an object, as strictly as kubectl does; in NAMESPACE, if its kind has one.

        Raises:
            RefusedError: the API server does not take it.
        """
        body = {"apiVersion": f"{self.name}/{VERSION}", **body}
        options = {"dry_run": dry_run, "field_validation": "Strict"}
        create, where = self.objects.create_namespaced_custom_object, [NAMESPACE]
        if body["kind"] in CLUSTER_KINDS:
            create, where = self.objects.create_cluster_custom_object, []
        try:
            created: Json = create(self.name, VERSION, *where, plural, body, **options)
        except ApiException as error:
            raise RefusedError(str(error.body)) from error
        return created

    def change(self, plural: str, name: str, patch: Json) -> Json:
        """Patch an object's spec.

        Raises:
            RefusedError: the API server does not take it.
        """
        where = (self.name, VERSION, NAMESPACE, plural, name)
        try:
            changed: Json = self.objects.patch_namespaced_custom_object(*where, patch)
        except ApiException as error:
            raise RefusedError(str(error.body)) from error
        return changed

    def write_status(self, plural: str, stored: Json, status: object) -> Json:
        """Replace an object's status."""
        body = {**stored, "status": status}
        name = stored["metadata"]["name"]
        replace, where = self.objects.replace_namespaced_custom_object_status, [NAMESPACE]
        if stored["kind"] in CLUSTER_KINDS:
            replace, where = self.objects.replace_cluster_custom_object_status, []
        written: Json = replace(self.name, VERSION, *where, plural, name, body)
        return written


@contextmanager
def schema_group(cluster: Cluster) -> Iterator[SchemaGroup]:
    """Serve copies of the CRDs, and take them away again with all their objects."""
    group = f"g{uuid.uuid4().hex[:12]}.schema-test.example"
    crds = [_copy(yaml.safe_load(path.read_text()), group) for path in sorted(CRDS.glob("*.yaml"))]
    copies = json.dumps({"apiVersion": "v1", "kind": "List", "items": crds})
    try:
        kubectl(cluster, "create", "-f", "-", stdin=copies)
        kubectl(cluster, "wait", "--for=condition=Established", "-f", "-", stdin=copies)
        with new_client_from_config(str(cluster.kubeconfig)) as client:  # type: ignore[no-untyped-call]
            yield SchemaGroup(group, CustomObjectsApi(client))
    finally:
        kubectl(cluster, "delete", "--ignore-not-found", "-f", "-", stdin=copies)


def kubectl(cluster: Cluster, *arguments: str, stdin: str = "") -> str:
    """Run kubectl and return what it printed.

    With a discovery cache of its own, that goes at once: nobody else is to take our kinds for those
    of a group that is gone.
    """
    with tempfile.TemporaryDirectory() as cache:
        place = ["--kubeconfig", str(cluster.kubeconfig), "--cache-dir", cache]
        command = [str(cluster.kubectl), *place, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _copy(crd: Json, group: str) -> Json:
    """Put a CRD into another group, without the short names, which kubectl would confuse."""
    names = {
        key: value
        for key, value in crd["spec"]["names"].items()
        if key not in {"shortNames", "categories"}
    }
    return {
        **crd,
        "metadata": {"name": f"{names['plural']}.{group}"},
        "spec": {**crd["spec"], "group": group, "names": names},
    }
