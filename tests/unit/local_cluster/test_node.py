"""Nodes of one cluster share no address, range, link or cgroup."""

import pytest

from local_cluster.node import (
    BRIDGE,
    HOST_INTERFACE,
    HOST_MAC,
    MOST_NODES,
    NODE_NETWORK,
    POD_NETWORK_V4,
    POD_NETWORK_V6,
    Node,
)

NODES = [Node(index) for index in range(1, MOST_NODES + 1)]
LONGEST_LINK = 15  # IFNAMSIZ without its terminating zero


def test_the_first_node_has_the_first_addresses() -> None:
    """What the documentation names is what comes out."""
    node = Node(1)

    assert str(node.interface) == "192.168.77.2/24"
    assert (str(node.pods_v4), str(node.pods_v6)) == ("10.244.0.0/24", "fd00:10:244::/64")
    assert (node.name, node.link, node.cgroup) == ("node1", "tcapture-n1", "traffic-capture-node1")


def test_nothing_is_shared_between_nodes() -> None:
    """Each value that a node is told by is its own."""
    told_by = [
        (
            node.name,
            node.address,
            node.mac,
            node.link_local,
            node.pods_v4,
            node.pods_v6,
            node.link,
            node.cgroup,
        )
        for node in NODES
    ]

    for values in zip(*told_by, strict=True):
        assert len(set(values)) == len(NODES)


def test_every_node_is_inside_the_clusters_networks() -> None:
    """No index leads out of the ranges, or to the host's own address."""
    for node in NODES:
        assert node.address in NODE_NETWORK
        assert node.address != HOST_INTERFACE.ip
        assert node.mac != HOST_MAC
        assert node.pods_v4.subnet_of(POD_NETWORK_V4)
        assert node.pods_v6.subnet_of(POD_NETWORK_V6)


def test_link_names_fit_the_kernels_limit() -> None:
    """A longer one would be refused when the node starts."""
    assert max(len(name) for name in (BRIDGE, *(node.link for node in NODES))) <= LONGEST_LINK


@pytest.mark.parametrize("index", [0, -1, MOST_NODES + 1])
def test_an_index_out_of_range_is_refused(index: int) -> None:
    """There is no such node."""
    with pytest.raises(ValueError, match="index is 1 to"):
        Node(index)
