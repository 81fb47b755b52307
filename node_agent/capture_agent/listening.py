"""Whether anybody listens where the redirected connections go. Pure.

REDIRECT sends what comes in to the address of the interface it came in by, and what the pod itself
sends to 127.0.0.1 or ::1. A socket on `::` takes IPv4 too; one that refuses to (IPV6_V6ONLY) looks
the same here. One on `0.0.0.0` does not take IPv6.
"""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

import msgspec

from capture_agent.families import captured_families
from capture_api.programs import Program
from capture_nat.families import Family


class Listener(msgspec.Struct, frozen=True):
    """A listening TCP socket: its address ("0.0.0.0" or "::" for every one) and its port."""

    address: str
    port: int


_EVERY_ADDRESS = {Family.IPV4: {"0.0.0.0", "::"}, Family.IPV6: {"::"}}  # noqa: S104 - compared with
_LOOPBACK = {Family.IPV4: {"127.0.0.1"}, Family.IPV6: {"::1"}}


def ports_not_listening(
    program: Program, listeners: Iterable[Listener], pod_ips: Iterable[str]
) -> tuple[int, ...]:
    """List the redirect ports of a program on which connections of a family are not accepted."""
    pod_ips = frozenset(str(ip_address(address)) for address in pod_ips)
    listening = {(_unmapped(listener.address), listener.port) for listener in listeners}
    return tuple(
        sorted(
            {
                port
                for family in captured_families(program, pod_ips)
                for port, addresses in _needed(program, family, pod_ips)
                if listening.isdisjoint((address, port) for address in addresses)
            }
        )
    )


def _needed(
    program: Program, family: Family, pod_ips: frozenset[str]
) -> Iterable[tuple[int, set[str]]]:
    """Give each redirect port with the addresses of which one has to be listened on."""
    if program.inbound is not None:
        own = {address for address in pod_ips if ip_address(address).version == family.value}
        yield program.inbound.redirect_port, _EVERY_ADDRESS[family] | own
    if program.outbound is not None:
        yield program.outbound.redirect_port, _EVERY_ADDRESS[family] | _LOOPBACK[family]
    if program.dns is not None:
        yield program.dns.redirect_port, _EVERY_ADDRESS[family] | _LOOPBACK[family]


def _unmapped(address: str) -> str:
    """Write `::ffff:10.1.2.3` as the IPv4 address that it is."""
    parsed = ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)
