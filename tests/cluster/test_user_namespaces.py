"""Pods with a user namespace of their own (`hostUsers: false`), started by a kubelet."""

import tomllib
from typing import Any

import pytest

from cluster.kube import Kube, eventually
from cluster.node_side import only_local, run
from cluster.test_capture import ours, status
from cluster.test_start_gate import AND_STAY, FIRST_ACT, evidence, first, target
from local_cluster.access import Cluster
from local_cluster.inside import ETC

__all__ = ["target"]  # a fixture


@pytest.fixture(autouse=True)
def _images_of_other_users(cluster: Cluster) -> None:
    """Skip where the checkout is on an overlay file system: the runtime copies images there."""
    only_local(cluster)
    configuration = tomllib.loads(run("cat", f"{ETC}/containerd.toml"))
    images = configuration["plugins"]["io.containerd.cri.v1.images"]
    if images["snapshotter"] == "native":
        pytest.skip("containerd's native snapshotter can't give images to a pod's own users")


def of_own_users(name: str, target: str, app: str = "first") -> dict[str, Any]:
    """Describe a pod whose first act is to connect, and whose root is nobody on the node."""
    manifest = first(name, target, FIRST_ACT + AND_STAY, hostUsers=False)
    manifest["metadata"]["labels"] = {"app": app}
    return manifest


def printed(kube: Kube, name: str) -> str:
    """Return what a pod printed, once it has."""
    return eventually(lambda: kube.run("logs", name).strip())


def connects(kube: Kube, target: str) -> str:
    """Connect from within the running pod, and return what became of it."""
    return kube.run("exec", "web", "--", "python3", "-S", "-c", FIRST_ACT, target).strip()


@pytest.fixture
def captured(kube: Kube, target: str) -> str:
    """Have such a pod captured; return its rules."""
    kube.apply(of_own_users("web", target))
    kube.run("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
    eventually(lambda: status(kube, "first"), lambda seen: seen["pods"]["programmed"] == 1)
    return ours(kube.nat("web", "-S"))


def test_its_first_connection_is_captured(kube: Kube, target: str) -> None:
    """By the tools, which alone can write its rules; that of its neighbour goes where it wants."""
    kube.apply(of_own_users("neighbour", target, app="other"))
    kube.apply(of_own_users("web", target))
    for name in ("neighbour", "web"):
        kube.run("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")
    root, on_the_node, _ = kube.run("exec", "web", "--", "cat", "/proc/self/uid_map").split()
    assert root == "0"
    assert on_the_node != "0"
    assert (printed(kube, "neighbour"), printed(kube, "web")) == ("escaped", "captured")
    seen = eventually(lambda: evidence(kube, "web"), lambda seen: "captured" in seen)
    assert (seen["captured"], seen["backend"]) == ("BeforeFirstContainer", "iptables-nft")


def test_drift_in_it_is_named_and_repaired(kube: Kube, target: str, captured: str) -> None:
    """As in any pod."""
    kube.nat("web", "-F")
    drift = eventually(lambda: status(kube, "first")["drift"], lambda seen: seen["repaired"] == 1)
    assert (drift["detected"], drift["last"]["kind"]) == (1, "Flushed")
    assert ours(kube.nat("web", "-S")) == captured
    assert connects(kube, target) == "captured"


def test_a_change_reaches_it_and_the_end_of_its_capture(
    kube: Kube, target: str, captured: str
) -> None:
    """Without a restart; nothing is left of a capture that is deleted."""
    elsewhere = {"redirectPort": 15009}
    kube.patch("tcap/first", {"spec": {"inbound": elsewhere, "outbound": elsewhere}})
    eventually(
        lambda: ours(kube.nat("web", "-S")),
        lambda rules: rules == captured.replace("--to-ports 15001", "--to-ports 15009"),
    )
    assert connects(kube, target) == "captured"
    kube.run("delete", "tcap", "first", "--timeout=60s")
    assert ours(kube.nat("web", "-S")) == ""
    assert connects(kube, target) == "escaped"
