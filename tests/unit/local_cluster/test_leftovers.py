"""What is taken for a leftover of ours, and what is not."""

from pathlib import Path

import pytest

from local_cluster.cgroups import Hierarchy
from local_cluster.checkout import Checkout
from local_cluster.leftovers import clear_node, mounts_below, stale_state
from local_cluster.links import ours
from local_cluster.node import BRIDGE, Node

MOUNTS = """\
/dev/vda / ext4 rw 0 0
tmpfs /src/.cluster/node1/var tmpfs rw 0 0
tmpfs /src/.cluster/node1/var/lib/kubelet/pods/a\\040b tmpfs rw 0 0
tmpfs /src/.cluster-of-another tmpfs rw 0 0
"""


def test_mounts_are_found_innermost_first() -> None:
    """The outer one can't be unmounted while the inner one is there."""
    assert mounts_below(Path("/src/.cluster"), MOUNTS) == [
        Path("/src/.cluster/node1/var/lib/kubelet/pods/a b"),
        Path("/src/.cluster/node1/var"),
    ]


def test_a_volume_that_holds_the_folder_is_not_ours() -> None:
    """Somebody may have mounted a disk there, to have the cluster's state on it."""
    assert mounts_below(Path("/src/.cluster/node1/var"), MOUNTS) == [
        Path("/src/.cluster/node1/var/lib/kubelet/pods/a b")
    ]


def test_a_folder_with_a_longer_name_is_not_below() -> None:
    """Paths are compared by their parts."""
    assert Path("/src/.cluster-of-another") not in mounts_below(Path("/src/.cluster"), MOUNTS)


def test_only_our_links_are_ours() -> None:
    """The bridge comes last: removing it first would leave its ports."""
    names = ["lo", "eth0", "tcapture0", "docker0", "tcapture-n2", "tcapture-n1", "tcap"]

    assert ours(names) == ["tcapture-n1", "tcapture-n2", "tcapture0"]


def test_a_node_that_ended_leaves_its_disk_and_the_other_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Node 1 is no node 10; what an ended node reported of itself is gone."""
    roots = [Hierarchy(tmp_path / "cgroup", 2)]
    monkeypatch.setattr("local_cluster.cgroups.mounted_hierarchies", lambda: roots)
    links = [Node(1).link, Node(10).link, BRIDGE]
    ran: list[list[str]] = []
    monkeypatch.setattr("local_cluster.links.existing_links", lambda: links)
    monkeypatch.setattr("local_cluster.links.run", ran.append)
    checkout = Checkout(tmp_path)
    for node in (Node(1), Node(10)):
        (tmp_path / "cgroup" / node.cgroup).mkdir(parents=True)
        checkout.node(node).var.mkdir(parents=True)
        checkout.node(node).parts.touch()

    clear_node(checkout, Node(1))

    assert [path.name for path in (tmp_path / "cgroup").iterdir()] == [Node(10).cgroup]
    assert checkout.node(Node(1)).var.exists()
    assert ran == [["ip", "link", "delete", Node(1).link]]
    assert not checkout.node(Node(1)).parts.exists()
    assert checkout.node(Node(10)).parts.exists()


def test_the_binaries_and_the_lock_outlive_a_cluster(tmp_path: Path) -> None:
    """Only what belongs to a cluster's life goes with it."""
    checkout = Checkout(tmp_path)
    for name in ("node1", "node2", "control-plane", "bin"):
        (checkout.state / name).mkdir(parents=True)
    (checkout.state / "commands.lock").touch()

    names = {path.name for path in stale_state(checkout)}

    assert names == {"node1", "node2", "control-plane", "admin.kubeconfig"}
