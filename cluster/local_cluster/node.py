"""A node as a value: everything that tells one node from another follows from its index."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

NODE_NETWORK = IPv4Network("192.168.77.0/24")
POD_NETWORK_V4 = IPv4Network("10.244.0.0/16")
POD_NETWORK_V6 = IPv6Network("fd00:10:244::/48")
SERVICE_NETWORK = IPv4Network("10.96.0.0/16")
API_SERVICE_ADDRESS = SERVICE_NETWORK[1]
DNS_SERVICE_ADDRESS = SERVICE_NETWORK[10]
API_PORT = 6443

HOST_INTERFACE = IPv4Interface((NODE_NETWORK[1], NODE_NETWORK.prefixlen))
BRIDGE = "tcapture0"
LINK_PREFIX = "tcapture-n"
CGROUP_PREFIX = "traffic-capture-node"

MOST_NODES = 99


def mac_of(address: IPv4Address) -> str:
    """Return a hardware address that goes with an IPv4 address: a local one, of these bytes."""
    return ":".join(f"{byte:02x}" for byte in b"\x02\x00" + address.packed)


HOST_MAC = mac_of(HOST_INTERFACE.ip)


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """One node of the cluster; the first, index 1, carries the control plane."""

    index: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= MOST_NODES:
            raise ValueError(f"a node's index is 1 to {MOST_NODES}, not {self.index}")

    @property
    def name(self) -> str:
        """The name of the Node object."""
        return f"node{self.index}"

    @property
    def interface(self) -> IPv4Interface:
        """The address of the node's eth0, with the prefix of the bridge's network."""
        return IPv4Interface((NODE_NETWORK[1 + self.index], NODE_NETWORK.prefixlen))

    @property
    def address(self) -> IPv4Address:
        """The node's InternalIP."""
        return self.interface.ip

    @property
    def mac(self) -> str:
        """The hardware address of its eth0: back after its end, it is where others remember it."""
        return mac_of(self.address)

    @property
    def link_local(self) -> IPv6Interface:
        """An address of its eth0 that other nodes can name as the way to its pods."""
        return IPv6Interface(f"fe80::77:{self.index}/64")

    @property
    def pods_v4(self) -> IPv4Network:
        """The range of its pods' IPv4 addresses."""
        return list(POD_NETWORK_V4.subnets(new_prefix=24))[self.index - 1]

    @property
    def pods_v6(self) -> IPv6Network:
        """The range of its pods' IPv6 addresses."""
        base = int(POD_NETWORK_V6.network_address) + ((self.index - 1) << 64)
        return IPv6Network((base, 64))

    @property
    def link(self) -> str:
        """The host's end of the veth whose other end is the node's eth0."""
        return f"{LINK_PREFIX}{self.index}"

    @property
    def cgroup(self) -> str:
        """The name of its cgroup below the root of each hierarchy."""
        return f"{CGROUP_PREFIX}{self.index}"


CONTROL_PLANE_NODE = Node(1)
