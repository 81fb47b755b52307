"""What a program means, written from the API's evaluation order and from nothing else."""

from capture_api.cidrs import Cidr
from capture_api.ports import PortRange
from capture_api.programs import (
    Dns,
    Inbound,
    InboundTerm,
    Loopback,
    Outbound,
    OutboundTerm,
    Program,
)
from capture_api.ranges import NumberRange
from capture_nat.walk import PASS, Packet, Verdict

_LOOPBACK = {4: "127.0.0.1", 6: "::1"}


def evaluate_received(program: Program, packet: Packet) -> Verdict:
    """The verdict on a packet that reaches the pod."""
    inbound = program.inbound
    if packet.protocol != "tcp" or inbound is None:
        return PASS
    if any(_received_matches(term, packet) for term in inbound.exclude):
        return PASS
    if not inbound.include or any(_received_matches(term, packet) for term in inbound.include):
        return Verdict(inbound.redirect_port)
    return PASS


def evaluate_sent(program: Program, packet: Packet) -> Verdict:
    """The verdict on a packet that a process of the pod sends."""
    outbound, dns = program.outbound, program.dns
    if outbound and any(_sent_matches(term, packet) for term in outbound.exclude):
        return PASS
    by_proxy = packet.uid in program.proxy.uids or packet.gid in program.proxy.gids
    if dns and _is_query(dns, packet) and not by_proxy:
        return Verdict(dns.redirect_port)
    if packet.protocol != "tcp" or outbound is None:
        return PASS
    return _connection(program.inbound, outbound, packet, by_proxy=by_proxy)


def _connection(
    inbound: Inbound | None, outbound: Outbound, packet: Packet, *, by_proxy: bool
) -> Verdict:
    to_loopback = str(packet.destination) == _LOOPBACK[packet.destination.version]
    if packet.out_interface == "lo" and not to_loopback:
        return _own_address(inbound, outbound, by_proxy=by_proxy)
    if by_proxy or to_loopback:
        return PASS
    if not outbound.include or any(_sent_matches(term, packet) for term in outbound.include):
        return Verdict(outbound.redirect_port)
    return PASS


def _is_query(dns: Dns, packet: Packet) -> bool:
    to_server = not dns.servers or any(packet.destination in each.network for each in dns.servers)
    return packet.protocol in {"tcp", "udp"} and packet.dport == 53 and to_server


def _own_address(inbound: Inbound | None, outbound: Outbound, *, by_proxy: bool) -> Verdict:
    if outbound.loopback is Loopback.REDIRECT:
        return Verdict(outbound.redirect_port)
    if outbound.loopback is Loopback.INBOUND and by_proxy:
        assert inbound is not None
        return Verdict(inbound.redirect_port)
    return PASS


def _received_matches(term: InboundTerm, packet: Packet) -> bool:
    by_name = not term.interfaces or packet.in_interface in map(str, term.interfaces)
    return by_name and _where_matches(term.ports, packet.dport, term.sources, packet.source)


def _sent_matches(term: OutboundTerm, packet: Packet) -> bool:
    by_owner = _is_one_of(term.uids, packet.uid) and _is_one_of(term.gids, packet.gid)
    return by_owner and _where_matches(
        term.ports, packet.dport, term.destinations, packet.destination
    )


def _is_one_of(ranges: tuple[NumberRange, ...], number: int | None) -> bool:
    return not ranges or (number is not None and any(number in each for each in ranges))


def _where_matches(
    ports: tuple[PortRange, ...], dport: int, cidrs: tuple[Cidr, ...], address: object
) -> bool:
    in_network = not cidrs or any(address in cidr.network for cidr in cidrs)
    return in_network and _is_one_of(ports, dport)
