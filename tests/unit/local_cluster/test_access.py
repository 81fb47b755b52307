"""Which cluster tests, demo and installation use."""

import os
from pathlib import Path

import pytest

from local_cluster import access, lock
from local_cluster.access import Cluster
from local_cluster.checkout import Checkout
from local_cluster.errors import ClusterNotRunningError, LocalClusterError
from local_cluster.install import helm_command
from local_cluster.node import Node
from local_cluster.privilege import as_root


@pytest.fixture(autouse=True)
def no_local_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no cluster run on this machine, and none be named."""
    monkeypatch.setattr("local_cluster.checkout.Checkout.this", lambda: Checkout(tmp_path))
    monkeypatch.setattr(lock, "LOCK", tmp_path / "lock")
    monkeypatch.delenv(access.OTHER_CLUSTER, raising=False)


def test_kubeconfig_never_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster is not used because somebody happens to be logged in to it."""
    (tmp_path / "production").touch()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "production"))

    with pytest.raises(ClusterNotRunningError, match="make cluster"):
        access.cluster()


def test_a_named_cluster_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the programs of the PATH, since the local ones may not have been built."""
    for name in ("staging", "kubectl", "helm"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(access.OTHER_CLUSTER, str(tmp_path / "staging"))

    chosen = access.cluster()

    assert chosen.kubeconfig == tmp_path / "staging"
    assert chosen.helm == tmp_path / "helm"
    assert not chosen.is_local


def test_a_name_that_is_no_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It doesn't fall back to the local cluster."""
    monkeypatch.setenv(access.OTHER_CLUSTER, "/nowhere/kubeconfig")

    with pytest.raises(LocalClusterError, match="/nowhere/kubeconfig"):
        access.cluster()


def test_only_a_local_node_can_be_entered() -> None:
    """Of another cluster's nodes we know nothing."""
    with pytest.raises(ClusterNotRunningError):
        access.nsenter_node(["true"])


def test_a_node_that_ended_cannot_be_entered_although_others_run(tmp_path: Path) -> None:
    """Its last PID may be another process's by now; the message names the node."""
    checkout = Checkout(tmp_path)
    for node in (Node(1), Node(2), Node(3)):
        checkout.node(node).path.mkdir(parents=True)
        checkout.node(node).pid.write_text("1\n")
    first = lock.take(tmp_path, lock.LOCK)
    third = lock.take(tmp_path, checkout.node(Node(3)).lock)

    assert access.nodes() == [Node(1), Node(3)]
    assert access.node_pid(Node(3)) == 1
    with pytest.raises(ClusterNotRunningError, match="node2"):
        access.node_pid(Node(2))

    os.close(first)
    os.close(third)


def test_another_clusters_nodes_are_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever runs on this machine."""
    checkout = Checkout(tmp_path)
    checkout.node(Node(1)).path.mkdir(parents=True)
    held = lock.take(tmp_path, lock.LOCK)
    monkeypatch.setenv(access.OTHER_CLUSTER, __file__)

    assert access.nodes() == []

    os.close(held)


def test_pods_are_replaced_when_the_image_changed_under_its_tag() -> None:
    """Both of them."""
    command = helm_command(_cluster(), Path("/src"), "localhost/traffic-capture:dev", "abc")

    assert command[-2:] == ["traffic-capture", "/src/helm/traffic-capture"]
    assert "operator.podAnnotations.image-hash=abc" in command
    assert "agent.podAnnotations.image-hash=abc" in command


def test_an_image_whose_contents_are_unknown_is_named_as_it_is() -> None:
    """A port in the registry's name is no tag."""
    command = helm_command(_cluster(), Path("/src"), "registry:5000/traffic-capture:1", None)

    assert "image.repository=registry:5000/traffic-capture" in command
    assert "image.tag=1" in command
    assert not any("image-hash" in word for word in command)


def test_root_needs_no_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may not be installed."""
    monkeypatch.setattr("os.geteuid", lambda: 0)

    assert as_root(["ip", Path("link")]) == ["ip", "link"]


def test_without_root_and_sudo_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either will do."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(LocalClusterError, match="install `sudo`"):
        as_root(["true"])


def _cluster() -> Cluster:
    return Cluster(Path("/k"), Path("/kubectl"), Path("/helm"), is_local=True)
