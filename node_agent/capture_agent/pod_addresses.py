"""Which of the addresses in a network namespace can be a pod's. Pure."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address


def usable_addresses(there: Iterable[bytes]) -> tuple[str, ...]:
    """Choose the addresses that are good beyond the pod's own links, and write them, IPv4 first.

    Every namespace has those of the loopback interface, and a link-local one for each link that
    speaks IPv6, whether or not the pod has addresses of that family.

    Args:
        there: addresses of both families, in network byte order.
    """
    chosen = {address for address in map(ip_address, there) if _is_usable(address)}
    return tuple(map(str, sorted(chosen, key=lambda address: (address.version, address.packed))))


def _is_usable(address: IPv4Address | IPv6Address) -> bool:
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
    )
