"""Addresses as users write them: a CIDR of either family, without bits beyond its prefix."""

import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_interface
from typing import Final, Self

_FORM = re.compile(r"[0-9A-Fa-f:.]+/(?:0|[1-9][0-9]{0,2})", re.ASCII)
"""What the API server's `isCIDR` reads: no zone, no netmask, no leading zero in the length."""


class Cidr:
    """One network, e.g. `10.0.0.0/8` or `fd00::/8`; a string on the wire (see `PortRange`)."""

    __slots__ = ("network",)

    def __init__(self, network: IPv4Network | IPv6Network) -> None:
        self.network: Final = network

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a CIDR with its prefix length.

        Raises:
            ValueError: the text is no CIDR, or an IPv4 network dressed as IPv6, or has bits set
                beyond the prefix; the message says what to write.
        """
        if not _FORM.fullmatch(text):
            raise _invalid(text)
        try:
            interface = ip_interface(text)
        except ValueError as error:
            raise _invalid(text) from error
        if isinstance(interface.ip, IPv6Address) and interface.ip.ipv4_mapped:
            raise ValueError(f"{text!r} is an IPv4 network: write it as one, e.g. 10.0.0.0/8")
        if interface.ip != interface.network.network_address:
            raise ValueError(
                f"{text!r} has bits set beyond the prefix length: write {interface.network}"
            )
        return cls(interface.network)

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.network.version

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cidr) and self.network == other.network

    def __hash__(self) -> int:
        return hash(self.network)

    def __str__(self) -> str:
        return str(self.network)

    def __repr__(self) -> str:
        return f"Cidr({str(self)!r})"


def _invalid(text: str) -> ValueError:
    return ValueError(f"{text!r} is not a CIDR, e.g. 10.0.0.0/8 or fd00::/8")
