"""The network between the host and the nodes: one bridge, and one veth per node."""

from pathlib import Path

from local_cluster.commands import run
from local_cluster.node import BRIDGE, HOST_INTERFACE, LINK_PREFIX, Node

INTERFACES = Path("/sys/class/net")


def existing_links(interfaces: Path = INTERFACES) -> list[str]:
    """Return the names of the links on this host that are ours, the bridge last."""
    names = [entry.name for entry in interfaces.iterdir()]
    veths = sorted(name for name in names if name.startswith(LINK_PREFIX))
    return [*veths, *(name for name in names if name == BRIDGE)]


def create_bridge() -> None:
    """Make the bridge and give the host its address on it."""
    run(["ip", "link", "add", BRIDGE, "type", "bridge"])
    run(["ip", "address", "add", str(HOST_INTERFACE), "dev", BRIDGE])
    run(["ip", "link", "set", BRIDGE, "up"])


def connect(node: Node, pid: int) -> None:
    """Make a veth from the bridge to `eth0` in the network namespace of the node's PID 1."""
    peer = ["peer", "name", "eth0", "netns", str(pid)]
    run(["ip", "link", "add", node.link, "type", "veth", *peer])
    run(["ip", "link", "set", node.link, "master", BRIDGE, "up"])


def remove_links() -> list[str]:
    """Remove every link of ours and return what was there."""
    found = existing_links()
    for name in found:
        if (INTERFACES / name).exists():  # the kernel may be removing it with its namespace
            _remove(name)
    return found


def _remove(name: str) -> None:
    try:
        run(["ip", "link", "delete", name])
    except Exception:
        if (INTERFACES / name).exists():
            raise
