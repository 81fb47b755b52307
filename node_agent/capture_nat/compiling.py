"""From a program to its rules, in the order of the API's evaluation: the first hit decides.

inbound (PREROUTING, TCP)               rule in <P>_INBOUND
  1 `exclude`                             -j RETURN
  2 `include`, or everything              -j <P>_IN_REDIRECT

outbound (OUTPUT, TCP; with `dns`, all) rule in <P>_OUTPUT
  1 `exclude`                             -j RETURN
    with `dns`: port 53, UDP or TCP       -j <P>_DNS
    with `dns`: what is not TCP           -j RETURN
  2 over `lo` to another address          by `loopback`
  3 a proxy's uid or gid                  -j RETURN, one rule an id
  4 to the loopback address               -j RETURN
  5 `include`, or everything              -j <P>_REDIRECT

dns                                     rule in <P>_DNS
  1 a proxy's uid or gid                  -j RETURN: TCP goes on with 2 above
  2 to one of `servers`, or any           -j REDIRECT

A term has a rule for each combination of what its fields list: sets and multiport print differently
from version to version of iptables, or not at all. What iptables leaves out is left out: `-p tcp`
where the jump from the base chain said it, and addresses that match everything.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

from capture_api.cidrs import Cidr
from capture_api.owners import IdRange
from capture_api.ports import PortRange
from capture_api.programs import (
    Dns,
    Inbound,
    InboundTerm,
    Loopback,
    Outbound,
    OutboundTerm,
    Program,
    Proxy,
)
from capture_api.resolution import Term
from capture_nat.addresses import network_text
from capture_nat.enforceable import check_enforceable
from capture_nat.families import Family
from capture_nat.rulesets import Chain, Hook, Jump, Ruleset, Traffic

DNS_PORT: Final = 53
DNS_PROTOCOLS: Final = ("udp", "tcp")
ANY: Final = ""
"""The match that every packet has."""


_PortRanges = tuple[PortRange, ...]


@dataclass(frozen=True, slots=True)
class _Names:
    """The chains of one prefix."""

    prefix: str

    @property
    def dns(self) -> str:
        return f"{self.prefix}_DNS"

    @property
    def inbound(self) -> str:
        return f"{self.prefix}_INBOUND"

    @property
    def in_redirect(self) -> str:
        return f"{self.prefix}_IN_REDIRECT"

    @property
    def outbound(self) -> str:
        return f"{self.prefix}_OUTPUT"

    @property
    def redirect(self) -> str:
        return f"{self.prefix}_REDIRECT"


@dataclass(frozen=True, slots=True)
class _Step:
    """One rule of a chain: what it matches and where it sends the packet."""

    match: str
    target: str


def compile_program(program: Program, family: Family) -> Ruleset:
    """The chains and jumps that enforce a program in one family.

    Addresses of the other family are skipped; a term that has only such addresses matches nothing
    here, so an `include` of nothing but such terms captures nothing.

    Raises:
        UnenforceableProgramError: the program holds a value that no rule can be written for.
    """
    check_enforceable(program)
    names = _Names(program.chain_prefix)
    chains: list[Chain] = []
    jumps: list[Jump] = []
    if (dns := program.dns) is not None:
        chains.append(_chain(names.dns, _dns(program.proxy, dns, family)))
    if (inbound := program.inbound) is not None:
        chains.append(_chain(names.inbound, _inbound(names, inbound, family)))
        chains.append(_redirect(names.in_redirect, inbound.redirect_port))
        jumps.append(Jump(Hook.PREROUTING, names.inbound))
    if program.outbound is not None or dns is not None:
        chains.append(_chain(names.outbound, _sent(names, program, family)))
        jumps.append(Jump(Hook.OUTPUT, names.outbound, Traffic.EVERY if dns else Traffic.TCP))
    if (outbound := program.outbound) is not None:
        chains.append(_redirect(names.redirect, outbound.redirect_port))
    return Ruleset(tuple(chains), tuple(jumps))


def _inbound(names: _Names, inbound: Inbound, family: Family) -> Iterator[_Step]:
    for match in _any_term(inbound.exclude, family):
        yield _Step(match, "RETURN")
    for match in _any_term(inbound.include, family) if inbound.include else [ANY]:
        yield _Step(match, names.in_redirect)


def _sent(names: _Names, program: Program, family: Family) -> Iterator[_Step]:
    outbound, dns = program.outbound, program.dns
    if outbound is not None:
        for match in _any_term(outbound.exclude, family):
            yield _Step(match, "RETURN")
    if dns is not None:
        yield from _queries(names, outbound, family)
    if outbound is not None:
        yield from _outbound(names, program.proxy, outbound, family)


def _queries(names: _Names, outbound: Outbound | None, family: Family) -> Iterator[_Step]:
    if outbound is not None:
        for match in _any_term(outbound.exclude, family, _query_ports):
            yield _Step(match, "RETURN")
    for protocol in DNS_PROTOCOLS:
        yield _Step(_dport(protocol, str(DNS_PORT)), names.dns)
    if outbound is not None:
        yield _Step("! -p tcp", "RETURN")


def _dns(proxy: Proxy, dns: Dns, family: Family) -> Iterator[_Step]:
    for owner in _proxy(proxy):
        yield _Step(owner, "RETURN")
    for address, protocol in product(_addresses("-d", dns.servers, family), DNS_PROTOCOLS):
        match = " ".join(filter(None, (address, f"-p {protocol}")))
        yield _Step(match, f"REDIRECT --to-ports {dns.redirect_port}")


def _outbound(names: _Names, proxy: Proxy, outbound: Outbound, family: Family) -> Iterator[_Step]:
    yield from _loopback(names, proxy, outbound.loopback, family)
    for owner in _proxy(proxy):
        yield _Step(owner, "RETURN")
    yield _Step(f"-d {family.loopback}", "RETURN")
    for match in _any_term(outbound.include, family) if outbound.include else [ANY]:
        yield _Step(match, names.redirect)


def _loopback(names: _Names, proxy: Proxy, loopback: Loopback, family: Family) -> Iterator[_Step]:
    own_address = f"! -d {family.loopback} -o lo"
    match loopback:
        case Loopback.BYPASS:
            yield _Step(own_address, "RETURN")
        case Loopback.REDIRECT:
            yield _Step(own_address, names.redirect)
        case Loopback.INBOUND:
            for owner in _proxy(proxy):
                yield _Step(f"{own_address} {owner}", names.in_redirect)
            yield _Step(own_address, "RETURN")


def _proxy(proxy: Proxy) -> Iterator[str]:
    for uid in proxy.uids:
        yield f"-m owner --uid-owner {uid}"
    for gid in proxy.gids:
        yield f"-m owner --gid-owner {gid}"


def _ports(ports: _PortRanges) -> list[str]:
    return [_dport("tcp", _port(port)) for port in ports] if ports else [ANY]


def _query_ports(ports: _PortRanges) -> list[str]:
    """Match queries over UDP where a term's ports have theirs; without ports it matched above."""
    return [_dport("udp", str(DNS_PORT))] if any(DNS_PORT in port for port in ports) else []


def _dport(protocol: str, ports: str) -> str:
    return f"-p {protocol} -m {protocol} --dport {ports}"


def _port(port: PortRange) -> str:
    return str(port.first) if port.first == port.last else f"{port.first}:{port.last}"


def _any_term(
    terms: tuple[Term, ...], family: Family, ports_of: Callable[[_PortRanges], list[str]] = _ports
) -> Iterator[str]:
    for term in terms:
        for matches in product(*_fields(term, family, ports_of)):
            yield " ".join(filter(None, matches))


def _fields(
    term: Term, family: Family, ports_of: Callable[[_PortRanges], list[str]]
) -> tuple[list[str], ...]:
    """List the matches that each field of a term becomes, in the order in which they print."""
    match term:
        case InboundTerm(ports=ports, sources=sources, interfaces=interfaces):
            names = [f"-i {interface}" for interface in interfaces] or [ANY]
            return _addresses("-s", sources, family), names, ports_of(ports)
        case OutboundTerm(ports=ports, destinations=destinations, uids=uids, gids=gids):
            return _addresses("-d", destinations, family), ports_of(ports), _owners(uids, gids)


def _addresses(flag: str, cidrs: tuple[Cidr, ...], family: Family) -> list[str]:
    if not cidrs:
        return [ANY]
    return [
        f"{flag} {network_text(cidr.network)}" if cidr.network.prefixlen else ANY
        for cidr in cidrs
        if cidr.version == family.value
    ]


def _owners(uids: tuple[IdRange, ...], gids: tuple[IdRange, ...]) -> list[str]:
    users = [f"--uid-owner {uid}" for uid in uids] or [ANY]
    groups = [f"--gid-owner {gid}" for gid in gids] or [ANY]
    # One match for both: iptables would take a second one for another rule.
    owners = (" ".join(filter(None, pair)) for pair in product(users, groups))
    return [f"-m owner {owner}" if owner else ANY for owner in owners]


def _chain(name: str, steps: Iterator[_Step]) -> Chain:
    rules = (" ".join(filter(None, (f"-A {name}", s.match, f"-j {s.target}"))) for s in steps)
    # A repeated rule can never be hit, and would be mistaken for one that somebody added.
    return Chain(name, tuple(dict.fromkeys(rules)))


def _redirect(name: str, port: int) -> Chain:
    return Chain(name, (f"-A {name} -p tcp -j REDIRECT --to-ports {port}",))
