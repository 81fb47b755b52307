"""Texts of the rules that a kernel holds, each worked out once."""

from collections import OrderedDict
from typing import Final

from capture_nat.families import Family
from capture_nft.decoding import decode_expressions
from capture_nft.listing import specification_of
from capture_nft.snapshots import NftRule

MAX_RULES: Final = 4096
"""How many different rules are remembered."""
MAX_SIZE: Final = 2048
"""Bytes of the largest rule that is remembered; ours have a few hundred."""

_Key = tuple[Family, bytes, str | None]


class RuleTexts:
    """Decodes rules and remembers their texts; of too many, the ones not met the longest go."""

    def __init__(self, max_rules: int = MAX_RULES) -> None:
        self._max_rules = max_rules
        self._specifications: OrderedDict[_Key, str] = OrderedDict()

    def text(self, rule: NftRule, family: Family) -> str:
        """The rule as `iptables-save` prints it, `-A CHAIN ...`.

        Raises:
            UnknownExpressionError: iptables writes no such rule, or none that is known here.
            MalformedDumpError: its expressions are no list of expressions.
        """
        specification = self._specification((family, rule.expressions, rule.comment))
        return f"-A {rule.chain} {specification}" if specification else f"-A {rule.chain}"

    def _specification(self, key: _Key) -> str:
        known = self._specifications.get(key)
        if known is not None:
            self._specifications.move_to_end(key)
            return known
        family, expressions, comment = key
        specification = specification_of(decode_expressions(expressions, family, comment))
        if len(expressions) <= MAX_SIZE:
            self._specifications[key] = specification
            if len(self._specifications) > self._max_rules:
                self._specifications.popitem(last=False)
        return specification
