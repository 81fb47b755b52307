"""Networks as iptables prints them."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

_EMBEDDED_IPV4: Final = range(1 << 16, 1 << 32)


def network_text(network: IPv4Network | IPv6Network) -> str:
    """The network as `iptables-save` prints it, e.g. `10.0.0.0/8` or `192.0.2.1/32`."""
    return f"{_address_text(network.network_address)}/{network.prefixlen}"


def _address_text(address: IPv4Address | IPv6Address) -> str:
    # inet_ntop(3) ends IPv4-compatible addresses in dotted form, the ipaddress module does not.
    # IPv4-mapped ones, where they differ too, are no Cidr.
    if isinstance(address, IPv6Address) and int(address) in _EMBEDDED_IPV4:
        return f"::{IPv4Address(int(address))}"
    return str(address)
