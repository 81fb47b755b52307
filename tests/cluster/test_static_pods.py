"""A pod that the kubelet runs from a file of the node, which the API server knows as a mirror."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.kube import Kube, eventually
from cluster.manifests import capture, pod
from cluster.node_side import nat, only_local, uid_of
from cluster.test_capture import ours, status
from local_cluster.access import Cluster
from local_cluster.checkout import Checkout
from local_cluster.node import CONTROL_PLANE_NODE
from reference_rules import REFERENCE_RULES

MIRROR = "kubernetes.io/config.mirror"
ELSEWHERE = "10.244.0.254"
"""An address that no pod here has: they are given out from below."""


@pytest.fixture
def manifest(cluster: Cluster) -> Iterator[Path]:
    """Name a file for a manifest in the node's folder of static pods; it is gone afterwards."""
    only_local(cluster)
    folder = Checkout.this().node(CONTROL_PLANE_NODE).static_pods
    manifest = folder / f"test-{uuid.uuid4().hex[:8]}.json"
    yield manifest
    manifest.unlink(missing_ok=True)


def static_pod(kube: Kube, manifest: Path) -> dict[str, Any]:
    """Run a static pod; return its mirror as soon as that tells the pod's address."""
    described = pod("static", {"app": "web"})
    described["metadata"]["namespace"] = kube.namespace
    manifest.write_text(json.dumps(described))
    [mirror] = eventually(
        lambda: kube.get("pods")["items"],
        lambda seen: [found for found in seen if found["status"].get("podIPs")],
    )
    assert isinstance(mirror, dict)
    return mirror


def test_a_static_pod_is_captured_and_let_go_of(kube: Kube, manifest: Path) -> None:
    """Its processes carry the UID that the mirror is annotated with, not the mirror's."""
    metadata = static_pod(kube, manifest)["metadata"]
    runs_as = metadata["annotations"][MIRROR]
    assert metadata["uid"] != runs_as
    kube.apply(capture("web"))
    eventually(lambda: status(kube), lambda seen: seen.get("pods", {}).get("programmed") == 1)
    assert ours(nat(runs_as, "-S")) == REFERENCE_RULES

    nat(runs_as, "-F", "ISTIO_OUTPUT")
    eventually(lambda: status(kube), lambda seen: seen["drift"]["repaired"] == 1)
    assert ours(nat(runs_as, "-S")) == REFERENCE_RULES

    kube.run("delete", "tcap", "web", "--timeout=60s")
    assert ours(nat(runs_as, "-S")) == ""


def test_a_mirror_that_is_made_anew_changes_nothing_in_its_pod(kube: Kube, manifest: Path) -> None:
    """Deleting it deletes no pod: the kubelet puts another one, with another UID, in its place."""
    mirror = static_pod(kube, manifest)["metadata"]
    kube.apply(capture("web"))
    eventually(lambda: status(kube), lambda seen: seen.get("pods", {}).get("programmed") == 1)
    runs_as, before = mirror["annotations"][MIRROR], nat(mirror["annotations"][MIRROR], "-S", "-v")
    kube.run("delete", f"pod/{mirror['name']}", "--timeout=60s")
    # The kubelet looks at a pod to which nothing happens once a minute, or a little later.
    kube.run("wait", f"pod/{mirror['name']}", "--for=create", "--timeout=120s")
    another = kube.get(f"pod/{mirror['name']}")["metadata"]
    assert another["annotations"][MIRROR] == runs_as
    uids = [another["uid"]]
    eventually(lambda: evidence(kube), lambda seen: [it["uid"] for it in seen.values()] == uids)
    eventually(lambda: status(kube), lambda seen: seen["pods"]["programmed"] == 1)
    assert nat(runs_as, "-S", "-v") == before


def test_a_forged_mirror_steers_nobody(kube: Kube) -> None:
    """A pod that says it were another pod's mirror is never run, and that other pod stays as is."""
    kube.apply(pod("victim"))
    kube.run("wait", "pod/victim", "--for=condition=Ready", "--timeout=60s")
    victim, node = uid_of(kube, "victim"), kube.get("pod/victim")["spec"]["nodeName"]
    kube.apply(capture("web"))
    forged = pod("forged", {"app": "web"}, nodeName=node)
    forged["metadata"] |= {
        "annotations": {MIRROR: victim},
        "ownerReferences": [owner(kube, node)],
        # Without it the kubelet would remove at once what is the mirror of none of its pods.
        "finalizers": ["trafficcapture.io/test"],
    }
    try:
        kube.apply(forged)
        # Nobody but the kubelet may write this; with it, the name is all that is wrong.
        addresses = json.dumps({"status": {"podIP": ELSEWHERE, "podIPs": [{"ip": ELSEWHERE}]}})
        kube.run("patch", "pod/forged", "--subresource=status", "--type=merge", "-p", addresses)
        eventually(
            lambda: evidence(kube).get("forged", {}),
            lambda seen: seen.get("reason") == "AddressMissing",
        )
        assert ours(kube.nat("victim", "-S")) == ""
    finally:
        kube.patch("pod/forged", {"metadata": {"finalizers": None}})


def owner(kube: Kube, node: str) -> dict[str, Any]:
    """Refer to a node as a mirror does to its own."""
    uid = kube.get(f"node/{node}")["metadata"]["uid"]
    return {"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid, "controller": True}


def evidence(kube: Kube) -> dict[str, dict[str, Any]]:
    """Return what agents report of the namespace's pods, by the pods' names."""
    return {
        entry["name"]: entry
        for found in kube.get("nodecaptures.trafficcapture.io")["items"]
        for entry in found.get("status", {}).get("pods", ())
        if entry["namespace"] == kube.namespace
    }
