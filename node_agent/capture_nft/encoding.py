"""A rule as the bytes that iptables-nft 1.8.9 sends for it."""

from collections.abc import Iterator
from typing import Final

from capture_nat.families import Family
from capture_nft.attributes import be32, nested
from capture_nft.expressions import META_IIFNAME, META_OIFNAME, Counter, Expression
from capture_nft.headers import DESTINATION_OFFSETS, SOURCE_OFFSETS
from capture_nft.packing import pack
from capture_nft.rules import Rule
from capture_nft.uapi import CompatAttribute, RuleAttribute
from capture_nft.xt_nat import Nat

_INVERTED: Final = 2


def encode_expressions(rule: Rule, family: Family) -> bytes:
    """The value of the rule's list of expressions, its counter at zero."""
    return b"".join(map(pack, _expressions(rule, family)))


def encode_compat(rule: Rule) -> bytes:
    """The attribute that tells the kernel for which protocol xt extensions check themselves.

    iptables always sends it; the kernel never gives it back.
    """
    number = rule.protocol.number if rule.protocol else 0
    inverted = _INVERTED if rule.protocol and rule.protocol.inverted else 0
    return nested(
        RuleAttribute.COMPAT,
        be32(CompatAttribute.PROTOCOL, number),
        be32(CompatAttribute.FLAGS, inverted),
    )


def _expressions(rule: Rule, family: Family) -> Iterator[Expression]:
    if rule.in_interface:
        yield from rule.in_interface.expressions(META_IIFNAME)
    if rule.out_interface:
        yield from rule.out_interface.expressions(META_OIFNAME)
    if rule.protocol:
        yield from rule.protocol.expressions()
    if rule.source:
        yield from rule.source.expressions(SOURCE_OFFSETS[family.value])
    if rule.destination:
        yield from rule.destination.expressions(DESTINATION_OFFSETS[family.value])
    for match in rule.matches:
        yield from match.expressions()
    yield Counter()
    if rule.target:
        target = rule.target
        yield target.expression(family) if isinstance(target, Nat) else target.expression()
