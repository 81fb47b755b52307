"""A rule out of the expressions that the kernel holds, if iptables could have written them.

The text of what is decoded stands for the rule from then on, so a rule is decoded only where its
text can mean nothing else. Whoever is root in a pod may name an interface `lo -j RETURN` or a chain
`REDIRECT --to-ports 15001` in a rule, and iptables prints that; here such a rule is unknown. So is
one that gives an address twice, of which iptables would print one.

`-p` is read as 1.8.9 sends it and as 1.8.11 does, addresses with or without a bitwise expression.
"""

import struct
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Final, ParamSpec, TypeVar

from capture_nat.families import Family
from capture_nft.errors import UnknownExpressionError
from capture_nft.expressions import (
    META_IIFNAME,
    META_L4PROTO,
    META_MARK,
    META_OIFNAME,
    NETWORK_HEADER,
    TRANSPORT_HEADER,
    Bitwise,
    Cmp,
    Counter,
    Expression,
    Immediate,
    Meta,
    Payload,
    Range,
    XtMatch,
    XtTarget,
)
from capture_nft.headers import (
    DESTINATION_OFFSETS,
    INTERFACE_NAME,
    SOURCE_OFFSETS,
    TCP,
    UDP,
    Addresses,
    Interface,
    Protocol,
)
from capture_nft.matches import (
    ALL_BITS,
    ANY_PORT,
    DESTINATION_PORT_OFFSET,
    SOURCE_PORT_OFFSET,
    Mark,
    Ports,
    Transport,
)
from capture_nft.packing import pack
from capture_nft.rules import Match, Rule, Target
from capture_nft.unpacking import unpack
from capture_nft.verdicts import verdict_of
from capture_nft.xt_addrtype import AddressType
from capture_nft.xt_comment import Comment
from capture_nft.xt_conntrack import ConntrackState
from capture_nft.xt_multiport import Multiport
from capture_nft.xt_nat import Nat, NatKind
from capture_nft.xt_owner import Owner

P = ParamSpec("P")
T = TypeVar("T")

_IPV4_PROTOCOL: Final = Payload(NETWORK_HEADER, 9, 1)
_PORT_SIZE: Final = 2
_MARK_SIZE: Final = 4
_XT_MATCHES: Final[Mapping[tuple[str, int], Callable[[bytes], Match]]] = {
    (Owner.NAME, Owner.REVISION): Owner.of,
    (Multiport.NAME, Multiport.REVISION): Multiport.of,
    (AddressType.NAME, AddressType.REVISION): AddressType.of,
    (ConntrackState.NAME, ConntrackState.REVISION): ConntrackState.of,
}


def decode_expressions(expressions: bytes, family: Family, comment: str | None = None) -> Rule:
    """The rule that these expressions, with the comment of its user data if any, are.

    Raises:
        UnknownExpressionError: iptables writes no such rule, or its text would not be the rule's
            alone.
        MalformedDumpError: the bytes are no list of expressions.
    """
    decoder = _Decoder(unpack(expressions), family)
    rule = decoder.rule()
    if comment is None:
        return rule
    return replace(rule, matches=(*rule.matches, Comment(comment)))


class _Decoder:
    """Takes expressions one after the other and gathers what they mean."""

    def __init__(self, expressions: Iterable[Expression], family: Family) -> None:
        self._left = deque(expressions)
        self._family = family
        self._parts: dict[str, Addresses | Interface | Protocol] = {}
        self._matches: list[Match] = []
        self._target: Target | None = None

    def rule(self) -> Rule:
        while self._left:
            if self._target:
                raise UnknownExpressionError("an expression after the target")
            self._take(self._left.popleft())
        return Rule(
            **self._parts,  # type: ignore[arg-type]  # each under its own field's name
            matches=tuple(self._matches),
            target=self._target,
        )

    def _take(self, expression: Expression) -> None:
        match expression:
            case Counter():
                pass
            case Immediate():
                self._target = verdict_of(expression)
            case XtTarget():
                self._target = self._nat(expression)
            case XtMatch():
                self._matches.append(_xt_match(expression))
            case Meta():
                self._meta(expression.key)
            case Payload(base=base) if base == TRANSPORT_HEADER:
                self._port(expression)
            case Payload():
                self._header(expression)
            case _:
                raise UnknownExpressionError(f"a comparison without a value: {expression}")

    def _meta(self, key: int) -> None:
        if key == META_IIFNAME:
            self._put("in_interface", self._interface())
        elif key == META_OIFNAME:
            self._put("out_interface", self._interface())
        elif key == META_L4PROTO:
            self._put("protocol", self._protocol())
        elif key == META_MARK:
            self._matches.append(self._mark())
        else:
            raise UnknownExpressionError(f"a match of meta key {key}")

    def _header(self, load: Payload) -> None:
        if self._family is Family.IPV4 and load == _IPV4_PROTOCOL:
            self._put("protocol", self._protocol())
        elif (load.base, load.offset) == (NETWORK_HEADER, SOURCE_OFFSETS[self._family.value]):
            self._put("source", self._addresses(load.length))
        elif (load.base, load.offset) == (NETWORK_HEADER, DESTINATION_OFFSETS[self._family.value]):
            self._put("destination", self._addresses(load.length))
        else:
            raise UnknownExpressionError(f"a match of a header's field: {load}")

    def _put(self, part: str, value: Addresses | Interface | Protocol) -> None:
        if part in self._parts:
            raise UnknownExpressionError(f"a rule that asks for its {part} twice")
        self._parts[part] = value

    def _cmp(self, size: int | None = None) -> Cmp:
        expression = self._left.popleft() if self._left else None
        if not isinstance(expression, Cmp) or size not in {None, len(expression.data)}:
            raise UnknownExpressionError(f"a value that is not compared as iptables does: {size}")
        return expression

    def _mask(self, size: int) -> bytes | None:
        if not self._left or not isinstance(self._left[0], Bitwise):
            return None
        mask = self._left[0].mask
        if len(mask) != size:
            raise UnknownExpressionError(f"a mask of {len(mask)} bytes")
        self._left.popleft()
        return mask

    def _interface(self) -> Interface:
        cmp = self._cmp()
        name = cmp.data.rstrip(b"\0").decode("latin-1")
        terminated = cmp.data.endswith(b"\0")
        # `eth+` with a NUL is the interface of that very name, which iptables prints alike.
        if not INTERFACE_NAME.fullmatch(name) or (terminated and name.endswith("+")):
            raise UnknownExpressionError(f"an interface of an ambiguous name: {name!r}")
        return Interface(name + ("" if terminated else "+"), cmp.inverted)

    def _protocol(self) -> Protocol:
        cmp = self._cmp(1)
        if not cmp.data[0]:
            raise UnknownExpressionError("protocol 0, which iptables does not print")
        return Protocol(cmp.data[0], cmp.inverted)

    def _mark(self) -> Mark:
        mask = self._mask(_MARK_SIZE)
        cmp = self._cmp(_MARK_SIZE)
        bits = int.from_bytes(mask, sys.byteorder) if mask else ALL_BITS
        return Mark(int.from_bytes(cmp.data, sys.byteorder), bits, cmp.inverted)

    def _addresses(self, length: int) -> Addresses:
        size = 4 if self._family is Family.IPV4 else 16
        mask = self._mask(length)
        cmp = self._cmp(length)
        if not 0 < length <= size or (mask and length != size):
            raise UnknownExpressionError(f"a match of {length} bytes of an address")
        prefix = _prefix(mask) if mask else 8 * length
        network = IPv4Network if self._family is Family.IPV4 else IPv6Network
        try:
            return Addresses(network((cmp.data.ljust(size, b"\0"), prefix)), cmp.inverted)
        except ValueError as error:
            raise UnknownExpressionError(f"no network: {error}") from error

    def _port(self, load: Payload) -> None:
        transport = self._transport()
        ports = self._ports(load.length)
        if load.offset == SOURCE_PORT_OFFSET and not transport.source:
            transport = replace(transport, source=ports)
        elif load.offset == DESTINATION_PORT_OFFSET and not transport.destination:
            transport = replace(transport, destination=ports)
        else:
            raise UnknownExpressionError(f"a match of the transport header: {load}")
        self._matches.append(transport)

    def _transport(self) -> Transport:
        """The match that these ports belong to: the last one if it has ports, or a new one."""
        protocol = self._parts.get("protocol")
        if protocol not in {Protocol(TCP), Protocol(UDP)}:
            raise UnknownExpressionError("ports of no protocol that has ports")
        if self._matches and isinstance(last := self._matches[-1], Transport):
            self._matches.pop()
            return last
        if any(isinstance(each, Transport) for each in self._matches):
            raise UnknownExpressionError("ports in two places, which iptables prints in one")
        return Transport("tcp" if protocol == Protocol(TCP) else "udp")

    def _ports(self, size: int) -> Ports:
        expression = self._left.popleft() if self._left else None
        match expression:
            case Cmp(data, inverted):
                first = last = data
            case Range(first, last, inverted):
                pass
            case _:
                raise UnknownExpressionError("a port that is not compared as iptables does")
        if not size == len(first) == len(last) == _PORT_SIZE or first > last:
            raise UnknownExpressionError("a port that iptables does not write")
        ends = int.from_bytes(first, "big"), int.from_bytes(last, "big")
        if ends == ANY_PORT:
            raise UnknownExpressionError("any port, which iptables does not print")
        return Ports(*ends, inverted)

    def _nat(self, target: XtTarget) -> Nat:
        if target.name not in set(NatKind):
            raise UnknownExpressionError(f"a target {target.name} that is not known here")
        nat = _read(Nat.of, target, self._family)
        if pack(nat.expression(self._family)) != pack(target):
            raise UnknownExpressionError(f"a target {target.name} that iptables does not write")
        return nat


def _read(reader: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return reader(*args, **kwargs)
    except struct.error as error:
        raise UnknownExpressionError(f"an extension with too little in it: {error}") from error


def _xt_match(match: XtMatch) -> Match:
    if (match.name, match.revision) == (Comment.NAME, Comment.REVISION):
        return Comment.of(match.info)
    known = _XT_MATCHES.get((match.name, match.revision))
    if known is None:
        raise UnknownExpressionError(f"a match {match.name} that is not known here")
    found = _read(known, match.info)
    if b"".join(map(pack, found.expressions())) != pack(match):
        raise UnknownExpressionError(f"a match {match.name} that iptables does not write")
    return found


def _prefix(mask: bytes) -> int:
    bits = int.from_bytes(mask, "big")
    prefix = bits.bit_count()
    if not prefix or bits >> (8 * len(mask) - prefix) != (1 << prefix) - 1:
        raise UnknownExpressionError("a mask of an address that is no prefix")
    return prefix
