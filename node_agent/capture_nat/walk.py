"""A packet's way through a nat table, for the matches and targets that our own rules use."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final

from capture_nat.errors import NatError
from capture_nat.rule_text import words
from capture_nat.rulesets import Hook
from capture_nat.tables import NatTable

_MAX_DEPTH: Final = 16
"""The kernel's own bound on jumps within jumps (NFT_JUMP_STACK_SIZE)."""


class UnknownRuleError(NatError):
    """A rule on the packet's way that this walk can't judge."""


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection, as a hook sees it; "" and None are what is not known."""

    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    dport: int
    protocol: str = "tcp"
    in_interface: str = ""
    out_interface: str = ""
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a packet: redirected to a port of the pod, or passed (None)."""

    redirect_port: int | None


PASS: Final = Verdict(None)


def walk(table: NatTable, packet: Packet, hook: Hook) -> Verdict:
    """Follow the packet from a base chain to its verdict.

    Raises:
        UnknownRuleError: a rule on the way has a match or a target that our rules never have.
    """
    return _walk_chain(table, packet, hook, 0) or PASS


def _walk_chain(table: NatTable, packet: Packet, chain: str, depth: int) -> Verdict | None:
    """The verdict of a chain, or None where the chain that jumped here goes on."""
    if depth > _MAX_DEPTH:
        raise UnknownRuleError(f"chain {chain}: more than {_MAX_DEPTH} jumps deep")
    for text in table.rules(chain):
        rule = _read(text)
        if not all(_matches(option, packet) for option in rule.matches):
            continue
        if rule.target == "RETURN":
            return None
        verdict = _verdict(rule, table, packet, depth)
        if verdict is not None:
            return verdict
    return None


@dataclass(frozen=True, slots=True)
class _Option:
    name: str
    value: str
    inverted: bool


@dataclass(frozen=True, slots=True)
class _Rule:
    text: str
    matches: tuple[_Option, ...]
    target: str
    port: str


def _verdict(rule: _Rule, table: NatTable, packet: Packet, depth: int) -> Verdict | None:
    if rule.target == "ACCEPT":
        return PASS
    if rule.target == "REDIRECT" and rule.port.isdecimal():
        return Verdict(int(rule.port))
    if rule.target not in table.chains:
        raise UnknownRuleError(f"unknown target: {rule.text}")
    return _walk_chain(table, packet, rule.target, depth + 1)


def _read(text: str) -> _Rule:
    options = _options(text)
    values = {option.name: option.value for option in options}
    matches = tuple(option for option in options if option.name in _MATCHES)
    if not values.keys() <= _MATCHES.keys() | {"-m", "-j", "--to-ports"} or "-j" not in values:
        raise UnknownRuleError(f"not one of our forms: {text}")
    return _Rule(text, matches, values["-j"], values.get("--to-ports", ""))


def _options(text: str) -> tuple[_Option, ...]:
    found = iter(words(text)[2:])
    options: list[_Option] = []
    for word in found:
        name = next(found, "") if word == "!" else word
        options.append(_Option(name, next(found, ""), word == "!"))
    return tuple(options)


def _matches(option: _Option, packet: Packet) -> bool:
    return _MATCHES[option.name](option.value, packet) is not option.inverted


def _port_is(value: str, packet: Packet) -> bool:
    first, _, last = value.partition(":")
    return int(first) <= packet.dport <= int(last or first)


def _is_id(value: str, found: int | None) -> bool:
    first, _, last = value.partition("-")
    return found is not None and int(first) <= found <= int(last or first)


_MATCHES: Final[dict[str, Callable[[str, Packet], bool]]] = {
    "-s": lambda value, packet: packet.source in ip_network(value),
    "-d": lambda value, packet: packet.destination in ip_network(value),
    "-i": lambda value, packet: packet.in_interface == value,
    "-o": lambda value, packet: packet.out_interface == value,
    "-p": lambda value, packet: packet.protocol == value,
    "--dport": _port_is,
    "--uid-owner": lambda value, packet: _is_id(value, packet.uid),
    "--gid-owner": lambda value, packet: _is_id(value, packet.gid),
}
