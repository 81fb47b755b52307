"""A rule out of the expressions that the kernel holds, if iptables could have written them.

The text of what is decoded stands for the rule from then on, so a rule is decoded only where its
text can mean nothing else. Whoever is root in a pod may name an interface `lo -j RETURN` or a chain
`REDIRECT --to-ports 15001` in a rule, and iptables prints that; here such a rule is unknown. So is
one that gives an address twice, of which iptables would print one.

`-p` is read as 1.8.9 sends it and as 1.8.11 does, addresses with or without a bitwise expression.
"""

from dataclasses import replace
from typing import Final

from capture_nat.families import Family
from capture_nft.errors import UnknownExpressionError, UnknownExtensionError
from capture_nft.expressions import (
    META_IIFNAME,
    META_L4PROTO,
    META_MARK,
    META_OIFNAME,
    NETWORK_HEADER,
    TRANSPORT_HEADER,
    Counter,
    Held,
    Immediate,
    Limit,
    Meta,
    Payload,
    XtMatch,
    XtTarget,
)
from capture_nft.extensions import decode_match, decode_target
from capture_nft.headers import (
    DESTINATION_OFFSETS,
    SOURCE_OFFSETS,
    TCP,
    UDP,
    Addresses,
    Interface,
    Protocol,
)
from capture_nft.matches import DESTINATION_PORT_OFFSET, PORT_SIZE, SOURCE_PORT_OFFSET, Transport
from capture_nft.operands import Operands
from capture_nft.rules import Match, Rule, Target
from capture_nft.unpacking import unpack
from capture_nft.verdicts import verdict_of
from capture_nft.xt_comment import Comment

_IPV4_PROTOCOL: Final = Payload(NETWORK_HEADER, 9, 1)
_SOURCE_PORT: Final = Payload(TRANSPORT_HEADER, SOURCE_PORT_OFFSET, PORT_SIZE)
_DESTINATION_PORT: Final = Payload(TRANSPORT_HEADER, DESTINATION_PORT_OFFSET, PORT_SIZE)


def decode_expressions(expressions: bytes, family: Family, comment: str | None = None) -> Rule:
    """The rule that these expressions, with the comment of its user data if any, are.

    Raises:
        UnknownExtensionError: it has an extension that is not read here, and is else as iptables
            writes rules.
        UnknownExpressionError: iptables writes no such rule, or its text would not be the rule's
            alone.
        MalformedDumpError: the bytes are no list of expressions.
    """
    rule = _Decoder(Operands(unpack(expressions), family), family).rule()
    if comment is None:
        return rule
    return replace(rule, matches=(*rule.matches, Comment(comment)))


class _Decoder:
    """Takes expressions one after the other and gathers what they mean."""

    def __init__(self, operands: Operands, family: Family) -> None:
        self._operands = operands
        self._family = family
        self._parts: dict[str, Addresses | Interface | Protocol] = {}
        self._matches: list[Match] = []
        self._target: Target | None = None
        self._has_target = False
        self._unknown: UnknownExtensionError | None = None

    def rule(self) -> Rule:
        while (expression := self._operands.next()) is not None:
            if self._has_target:
                raise UnknownExpressionError("an expression after the target")
            self._take(expression)
        if self._unknown is not None:
            raise self._unknown
        return Rule(
            **self._parts,  # type: ignore[arg-type]  # each under its own field's name
            matches=tuple(self._matches),
            target=self._target,
        )

    def _take(self, expression: Held) -> None:
        match expression:
            case Counter():
                pass
            case Immediate() | XtTarget():
                self._end(expression)
            case XtMatch():
                self._extension(expression)
            case Meta():
                self._meta(expression.key)
            case Limit():
                self._unknown = UnknownExtensionError("a match limit that is not known here")
            case Payload(base=base) if base == TRANSPORT_HEADER:
                self._transport_header(expression)
            case Payload():
                self._header(expression)
            case _:
                raise UnknownExpressionError(f"a comparison without a value: {expression}")

    def _end(self, expression: Immediate | XtTarget) -> None:
        self._has_target = True
        if isinstance(expression, Immediate):
            self._target = verdict_of(expression)
            return
        try:
            self._target = decode_target(expression, self._family)
        except UnknownExtensionError as error:
            self._unknown = error

    def _extension(self, expression: XtMatch) -> None:
        try:
            self._matches.append(decode_match(expression))
        except UnknownExtensionError as error:
            self._unknown = error

    def _meta(self, key: int) -> None:
        if key == META_IIFNAME:
            self._put("in_interface", self._operands.interface())
        elif key == META_OIFNAME:
            self._put("out_interface", self._operands.interface())
        elif key == META_L4PROTO:
            self._put("protocol", self._operands.protocol())
        elif key == META_MARK:
            self._matches.append(self._operands.mark())
        else:
            self._pass_over(f"a match of meta key {key}")

    def _pass_over(self, what: str) -> None:
        """Whatever it asks for: it makes nothing else of the rule print as what it is not."""
        self._operands.any()
        self._unknown = UnknownExtensionError(f"{what} that is not known here")

    def _header(self, load: Payload) -> None:
        if self._family is Family.IPV4 and load == _IPV4_PROTOCOL:
            self._put("protocol", self._operands.protocol())
        elif (load.base, load.offset) == (NETWORK_HEADER, SOURCE_OFFSETS[self._family.value]):
            self._put("source", self._operands.addresses(load.length))
        elif (load.base, load.offset) == (NETWORK_HEADER, DESTINATION_OFFSETS[self._family.value]):
            self._put("destination", self._operands.addresses(load.length))
        else:
            raise UnknownExpressionError(f"a match of a header's field: {load}")

    def _put(self, part: str, value: Addresses | Interface | Protocol) -> None:
        if part in self._parts:
            raise UnknownExpressionError(f"a rule that asks for its {part} twice")
        self._parts[part] = value

    def _transport_header(self, load: Payload) -> None:
        protocol = self._parts.get("protocol")
        if protocol not in {Protocol(TCP), Protocol(UDP)} or load not in {
            _SOURCE_PORT,
            _DESTINATION_PORT,
        }:
            self._pass_over(f"a match of the transport header: {load}")
        else:
            self._port(load, self._transport("tcp" if protocol == Protocol(TCP) else "udp"))

    def _port(self, load: Payload, transport: Transport) -> None:
        ports = self._operands.ports()
        if load == _SOURCE_PORT and not transport.source:
            transport = replace(transport, source=ports)
        elif load == _DESTINATION_PORT and not transport.destination:
            transport = replace(transport, destination=ports)
        else:
            raise UnknownExpressionError("a rule that asks for a port twice")
        self._matches.append(transport)

    def _transport(self, protocol: str) -> Transport:
        """The match that these ports belong to: the last one if it has ports, or a new one."""
        if self._matches and isinstance(last := self._matches[-1], Transport):
            self._matches.pop()
            return last
        if any(isinstance(each, Transport) for each in self._matches):
            raise UnknownExpressionError("ports in two places, which iptables prints in one")
        return Transport(protocol)
