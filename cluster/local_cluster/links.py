"""The network between the host and the nodes: one bridge, and one veth per node."""

import socket
from collections.abc import Collection, Iterable

from local_cluster.commands import run
from local_cluster.errors import LocalClusterError
from local_cluster.node import BRIDGE, HOST_INTERFACE, HOST_MAC, LINK_PREFIX, Node


def existing_links() -> list[str]:
    """Return the links on this host that are ours, the bridge last."""
    return ours(name for _, name in socket.if_nameindex())


def ours(names: Iterable[str]) -> list[str]:
    """Pick our links' names, the bridge last."""
    return sorted(
        (name for name in names if name == BRIDGE or name.startswith(LINK_PREFIX)),
        key=lambda name: (name == BRIDGE, name),
    )


def create_bridge() -> None:
    """Make the bridge and give the host its address on it.

    Its hardware address is fixed: a bridge takes the lowest of its ports' otherwise, and with each
    node that comes or goes the others would look for the host in vain for some seconds.
    """
    run(["ip", "link", "add", BRIDGE, "address", HOST_MAC, "type", "bridge"])
    run(["ip", "address", "add", str(HOST_INTERFACE), "dev", BRIDGE])
    run(["ip", "link", "set", BRIDGE, "up"])


def connect(node: Node, pid: int) -> None:
    """Make a veth from the bridge to `eth0` in the network namespace of the node's PID 1."""
    peer = ["peer", "name", "eth0", "address", node.mac, "netns", str(pid)]
    run(["ip", "link", "add", node.link, "type", "veth", *peer])
    run(["ip", "link", "set", node.link, "master", BRIDGE, "up"])
    ip = ["nsenter", "--target", str(pid), "--net", "ip"]
    run([*ip, "link", "set", "lo", "up"])
    run([*ip, "address", "add", str(node.interface), "dev", "eth0"])
    run([*ip, "link", "set", "eth0", "up"])
    run([*ip, "route", "add", "default", "via", str(HOST_INTERFACE.ip)])


def remove_links(names: Collection[str]) -> list[str]:
    """Remove those of our links that are there, and return their names.

    Raises:
        LocalClusterError: one can't be removed.
    """
    found = [name for name in existing_links() if name in names]
    for name in found:
        try:
            run(["ip", "link", "delete", name])
        except LocalClusterError:
            if name in existing_links():  # else the kernel removed it with the node's namespace
                raise
    return found
