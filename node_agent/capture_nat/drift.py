"""How what the kernel holds differs from a rule set: on full content and order, never on names.

Rules of others are drift only where they shadow us: ahead of our jump, and able to decide about its
packets. Behind the jump, and in chains of their own, they are nobody's business here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from capture_nat.rule_differences import Change, rule_differences
from capture_nat.rule_text import readable
from capture_nat.rulesets import Chain, Jump, Ruleset
from capture_nat.shadowing import shadowing_rule
from capture_nat.tables import NatTable, TableChain

MAX_DIFFERENCES: Final = 64
"""The most that `find_drift` tells of one table; whoever writes it decides how long a chain is."""


class DriftKind(StrEnum):
    """What happened to our rules, the worst first."""

    FLUSHED = "Flushed"
    """Everything of ours is gone or empty."""
    TABLE_DORMANT = "TableDormant"
    """The whole table is switched off, and none of its rules acts."""
    JUMP_MISSING = "JumpMissing"
    """A base chain no longer sends packets to our chain."""
    JUMP_SHADOWED = "JumpShadowed"
    """A rule of somebody else ahead of our jump may take its packets; `found` is that rule."""
    CHAIN_MISSING = "ChainMissing"
    CHAIN_FLUSHED = "ChainFlushed"
    """A chain of ours is there, without any rule."""
    RULE_MISSING = "RuleMissing"
    RULE_CHANGED = "RuleChanged"
    """Another rule is in the place of ours."""
    RULE_INSERTED = "RuleInserted"
    """A chain of ours has a rule that we did not write."""
    RULE_REORDERED = "RuleReordered"
    """The first rule of a chain that is not where it should be, and the one that is there."""
    RULE_DUPLICATED = "RuleDuplicated"
    JUMP_DUPLICATED = "JumpDuplicated"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be.

    `chain` is the chain to look at ("" for the table as a whole). `expected` and `found` are rules
    or chain names, "" where there is none: at most 256 characters, all printable.
    """

    kind: DriftKind
    chain: str
    expected: str
    found: str

    @classmethod
    def of(cls, kind: DriftKind, chain: str, expected: str = "", found: str = "") -> Self:
        """A difference between texts that may hold anything."""
        return cls(kind, str(chain), readable(expected), readable(found))


_RULE_KINDS: Final = {
    Change.MISSING: DriftKind.RULE_MISSING,
    Change.CHANGED: DriftKind.RULE_CHANGED,
    Change.INSERTED: DriftKind.RULE_INSERTED,
    Change.DUPLICATED: DriftKind.RULE_DUPLICATED,
    Change.REORDERED: DriftKind.RULE_REORDERED,
}
_SEVERITY: Final = {kind: rank for rank, kind in enumerate(DriftKind)}


def find_drift(desired: Ruleset, table: NatTable) -> tuple[Difference, ...]:
    """Every difference, the most important first, at most `MAX_DIFFERENCES`.

    Empty if and only if the table enforces exactly the rule set.
    """
    if _is_flushed(desired, table):
        return (Difference.of(DriftKind.FLUSHED, "", " ".join(sorted(desired.names))),)
    worst_first = sorted(_differences(desired, table), key=lambda each: _SEVERITY[each.kind])
    return tuple(worst_first[:MAX_DIFFERENCES])


def jump_differences(jump: Jump, desired: Ruleset, table: NatTable) -> Iterator[Difference]:
    """What keeps a jump from sending the packets that it is for into our chain, once.

    A foreign rule may go to a chain of ours; what that does to a packet is judged by what the chain
    should hold, not by what is left of it.
    """
    rules = table.rules(jump.base)
    others = [form.rule for form in jump.other_forms if form.rule in rules]
    if jump.rule not in rules:
        yield Difference.of(DriftKind.JUMP_MISSING, jump.base, jump.rule, *others[:1])
        return
    repeated = [jump.rule] if rules.count(jump.rule) > 1 else others[:1]
    for found in repeated:
        yield Difference.of(DriftKind.JUMP_DUPLICATED, jump.base, jump.rule, found)
    ahead = [rule for rule in rules[: rules.index(jump.rule)] if rule not in others]
    shadow = shadowing_rule(ahead, _as_desired(desired, table), jump.traffic)
    if shadow is not None:
        yield Difference.of(DriftKind.JUMP_SHADOWED, jump.base, jump.rule, shadow)


def chain_differences(chain: Chain, table: NatTable) -> Iterator[Difference]:
    """What makes a chain of ours other than it should be."""
    rules = table.rules(chain.name)
    if chain.name not in table.chains:
        yield Difference.of(DriftKind.CHAIN_MISSING, chain.name, chain.name)
    elif chain.rules and not rules:
        yield Difference.of(DriftKind.CHAIN_FLUSHED, chain.name, chain.rules[0])
    elif rules != chain.rules:
        for each in rule_differences(chain.rules, rules):
            yield Difference.of(_RULE_KINDS[each.change], chain.name, each.expected, each.found)


def _differences(desired: Ruleset, table: NatTable) -> Iterator[Difference]:
    if desired.chains and table.is_dormant:
        yield Difference.of(
            DriftKind.TABLE_DORMANT, "", "table nat", "table nat { flags dormant; }"
        )
    for jump in desired.jumps:
        yield from jump_differences(jump, desired, table)
    for chain in desired.chains:
        yield from chain_differences(chain, table)


def _as_desired(desired: Ruleset, table: NatTable) -> NatTable:
    ours = {chain.name: TableChain(None, chain.rules) for chain in desired.chains}
    return NatTable({**table.chains, **ours})


def _is_flushed(desired: Ruleset, table: NatTable) -> bool:
    return (
        bool(desired.chains)
        and not any(table.rules(name) for name in desired.names)
        and not any(
            form.rule in table.rules(jump.base)
            for jump in desired.jumps
            for form in (jump, *jump.other_forms)
        )
    )
