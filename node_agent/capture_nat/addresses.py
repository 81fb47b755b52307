"""Networks as iptables prints them."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

_EMBEDDED_IPV4: Final = range(1 << 16, 1 << 32)
_MAPPED_IPV4: Final = range(0xFFFF << 32, 0x10000 << 32)


def network_text(network: IPv4Network | IPv6Network) -> str:
    """The network as `iptables-save` prints it, e.g. `10.0.0.0/8` or `192.0.2.1/32`."""
    return f"{_address_text(network.network_address)}/{network.prefixlen}"


def _address_text(address: IPv4Address | IPv6Address) -> str:
    # inet_ntop(3) ends IPv4-compatible and IPv4-mapped addresses in dotted form; the ipaddress
    # module does not, or only since Python 3.13.
    if isinstance(address, IPv6Address):
        value = int(address)
        if value in _EMBEDDED_IPV4:
            return f"::{IPv4Address(value)}"
        if value in _MAPPED_IPV4:
            return f"::ffff:{IPv4Address(value & 0xFFFFFFFF)}"
    return str(address)
