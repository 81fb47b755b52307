"""What a rule asks of a packet's addresses, interfaces and protocol: iptables' options of its own.

iptables prints them ahead of all matches, in the order -s -d -i -o -p, and iptables-nft 1.8.9
sends them as -i -o -p -s -d.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from capture_nat.addresses import network_text
from capture_nft.expressions import (
    META_L4PROTO,
    NETWORK_HEADER,
    Bitwise,
    Cmp,
    Expression,
    Meta,
    Payload,
)

SOURCE_OFFSETS: Final = {4: 12, 6: 8}
DESTINATION_OFFSETS: Final = {4: 16, 6: 24}
"""Where the addresses are in the header, by IP version."""

PROTOCOL_NAMES: Final = {
    1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 47: "gre", 50: "esp", 51: "ah",
    58: "ipv6-icmp", 132: "sctp", 136: "udplite",
}  # fmt: skip
"""Protocols that iptables prints by name on any machine, and the common ones of /etc/protocols."""
INTERFACE_NAME: Final = re.compile(r"[!-~]{1,15}")
"""Names that mean nothing else in a text; the kernel's have at most 15 characters."""
TCP: Final = 6
UDP: Final = 17


@dataclass(frozen=True, slots=True)
class Addresses:
    """The packet's address is (inverted: is not) of a network that isn't every address."""

    network: IPv4Network | IPv6Network
    inverted: bool = False

    def expressions(self, offset: int) -> tuple[Expression, ...]:
        """Load the address at an offset of the IP header, as much as the prefix needs, compare."""
        prefix, address = self.network.prefixlen, self.network.network_address.packed
        if prefix % 8 == 0:
            length = prefix // 8
            load = Payload(NETWORK_HEADER, offset, length)
            return load, Cmp(address[:length], self.inverted)
        load = Payload(NETWORK_HEADER, offset, len(address))
        return load, Bitwise(self.network.netmask.packed), Cmp(address, self.inverted)

    def words(self, option: str) -> str:
        """As `iptables-save` prints it, with `-s` or `-d`."""
        return f"{_not(self.inverted)}{option} {printed_network(self.network)}"


@dataclass(frozen=True, slots=True)
class Interface:
    """The packet's interface has (inverted: has not) this name, or begins so if it ends in `+`."""

    name: str
    inverted: bool = False

    def expressions(self, key: int) -> tuple[Expression, ...]:
        """Load the name of the interface and compare it, with its NUL if all of it is meant."""
        whole, wildcard = self.name.removesuffix("+"), self.name.endswith("+")
        name = whole.encode() + (b"" if wildcard else b"\0")
        return Meta(key), Cmp(name, self.inverted)

    def words(self, option: str) -> str:
        """As `iptables-save` prints it, with `-i` or `-o`."""
        return f"{_not(self.inverted)}{option} {self.name}"


@dataclass(frozen=True, slots=True)
class Protocol:
    """The packet's transport protocol is (inverted: is not) the one of this number."""

    number: int
    inverted: bool = False

    @property
    def name(self) -> str:
        """Its name, or its number where none is well known."""
        return PROTOCOL_NAMES.get(self.number, str(self.number))

    def expressions(self) -> tuple[Expression, ...]:
        """As 1.8.9 sends it; later versions load the byte from an IPv4 header instead."""
        return Meta(META_L4PROTO), Cmp(bytes([self.number]), self.inverted)

    def words(self) -> str:
        """As `iptables-save` prints it."""
        return f"{_not(self.inverted)}-p {self.name}"


def printed_address(address: IPv4Address | IPv6Address) -> str:
    """The address as inet_ntop(3) prints it, which iptables uses."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return f"::ffff:{address.ipv4_mapped}"
    return network_text(ip_network(address)).partition("/")[0]


def printed_network(network: IPv4Network | IPv6Network) -> str:
    """The network as `iptables-save` prints it."""
    return f"{printed_address(network.network_address)}/{network.prefixlen}"


def _not(inverted: bool) -> str:  # noqa: FBT001 - the option's own field
    return "! " if inverted else ""
