"""Whether anybody listens where the redirected connections go. Pure.

REDIRECT sends what comes in to the address of the interface it came in by, and what the pod itself
sends to 127.0.0.1. A socket on `::` takes IPv4 too; one that refuses to (IPV6_V6ONLY) looks the
same here.
"""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

from capture_agent.broker_protocol import Listener
from capture_api.programs import Program

_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to
_LOOPBACK = frozenset({"127.0.0.1"})


def ports_not_listening(
    program: Program, listeners: Iterable[Listener], pod_ips: Iterable[str]
) -> tuple[int, ...]:
    """List the redirect ports of a program on which no connection would be accepted."""
    pod_addresses = _EVERY_ADDRESS.union(pod_ips)
    local_addresses = _EVERY_ADDRESS | _LOOPBACK
    listening = {(_unmapped(listener.address), listener.port) for listener in listeners}
    needed = (
        (program.inbound, pod_addresses),
        (program.outbound, local_addresses),
    )
    return tuple(
        sorted(
            {
                direction.redirect_port
                for direction, addresses in needed
                if direction is not None
                and not any(
                    (address, direction.redirect_port) in listening for address in addresses
                )
            }
        )
    )


def _unmapped(address: str) -> str:
    """Write `::ffff:10.1.2.3` as the IPv4 address that it is."""
    parsed = ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)
