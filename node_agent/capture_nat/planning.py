"""What to write so that the kernel holds a rule set: one transaction, and nothing of anybody else.

* Only chains that differ are flushed and refilled; on an equal state nothing is written, so the
  counters that users read go on.
* A jump is put back by deleting it as often as it is there, in every form that it could have had,
  and inserting it first. Rules are deleted by their text, never by number: a rule inserted by
  somebody else between our look and our write would shift the numbers. If our rule has gone in
  between, the whole transaction fails and the next look starts over.
* A chain of one of our names that is not known to be ours is taken over only if it is exactly as
  planned.
* Chains that were ours and are not planned any more go, with their jumps, in the same transaction.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product, starmap

from capture_nat.commands import (
    Command,
    DeleteChain,
    DeleteRule,
    Flush,
    InsertFirst,
    Refill,
    WakeTable,
)
from capture_nat.drift import chain_differences, jump_differences
from capture_nat.errors import NatError
from capture_nat.rule_text import targets
from capture_nat.rulesets import BUILTIN_CHAINS, Hook, Jump, Ruleset, Traffic
from capture_nat.tables import NatTable


class ChainConflictError(NatError):
    """A chain with one of our names, not ours and not as planned: nothing may be written."""

    def __init__(self, chain: str, expected: str, found: str) -> None:
        self.chain = chain
        self.expected = expected
        self.found = found
        super().__init__(
            f"chain {chain} exists and is not ours: expected {expected or 'no such rule'}, found "
            f"{found or 'no such rule'}; remove it, or choose another chainPrefix"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a backend does, in this order."""

    create: tuple[str, ...] = ()
    """Chains to create first, empty and marked as ours; among them base chains that do not exist.
    Nothing refers to them yet, so no packet notices."""
    adopted: tuple[str, ...] = ()
    """Chains exactly as planned that were not known to be ours: mark them, and say so."""
    commands: tuple[Command, ...] = ()
    """One transaction; empty if there is nothing to write."""
    drop_if_empty: tuple[str, ...] = ()
    """Base chains of ours that nothing will be in any more; delete them if that is so."""
    kept: tuple[str, ...] = ()
    """Chains of ours that go as soon as a rule of somebody else no longer refers to them; until
    then they are empty."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.create or self.adopted or self.commands or self.drop_if_empty)


def plan_changes(desired: Ruleset | None, table: NatTable, owned: frozenset[str]) -> Plan:
    """Plan the way from what the table holds to `desired`; None means that nothing is to be left.

    `owned` are the chains known to be ours, by mark or journal, base chains that we created
    included; names that the table does not have do no harm.

    Raises:
        ChainConflictError: a planned chain exists, is not owned, and is not as planned.
    """
    ruleset = desired or Ruleset()
    stale = sorted((owned & table.chains.keys()) - ruleset.names - BUILTIN_CHAINS)
    stale_jumps = _stale_jumps(stale, table)
    kept = tuple(_referenced(stale, stale_jumps, ruleset, table))
    return Plan(
        create=tuple(_missing_chains(ruleset, table)),
        adopted=tuple(_adopted(ruleset, table, owned)),
        commands=(
            *([WakeTable()] if desired and table.is_dormant else []),
            *_refills(ruleset, table),
            *_jump_repairs(ruleset, table),
            *_deletions(stale_jumps, table),
            *(Flush(name) for name in stale if table.rules(name)),
            *(DeleteChain(name) for name in stale if name not in kept),
        ),
        drop_if_empty=tuple(_unused_bases(ruleset, table, owned, stale_jumps)),
        kept=kept,
    )


def _missing_chains(ruleset: Ruleset, table: NatTable) -> Iterator[str]:
    names = [chain.name for chain in ruleset.chains] + [str(jump.base) for jump in ruleset.jumps]
    return (name for name in names if name not in table.chains)


def _adopted(ruleset: Ruleset, table: NatTable, owned: frozenset[str]) -> Iterator[str]:
    for chain in ruleset.chains:
        if chain.name in owned or chain.name not in table.chains:
            continue
        for difference in chain_differences(chain, table):
            raise ChainConflictError(chain.name, difference.expected, difference.found)
        yield chain.name


def _refills(ruleset: Ruleset, table: NatTable) -> Iterator[Refill]:
    return (Refill(chain) for chain in ruleset.chains if any(chain_differences(chain, table)))


def _jump_repairs(ruleset: Ruleset, table: NatTable) -> Iterator[Command]:
    for jump in ruleset.jumps:
        if any(jump_differences(jump, ruleset, table)):
            yield from _deletions([jump, *jump.other_forms], table)
            yield InsertFirst(jump.rule)


def _deletions(jumps: list[Jump], table: NatTable) -> Iterator[DeleteRule]:
    for jump in jumps:
        for _ in range(table.rules(jump.base).count(jump.rule)):
            yield DeleteRule(jump.rule)


def _stale_jumps(stale: list[str], table: NatTable) -> list[Jump]:
    possible = starmap(Jump, product(Hook, stale, Traffic))
    return [jump for jump in possible if jump.rule in table.rules(jump.base)]


def _referenced(
    stale: list[str], stale_jumps: list[Jump], ruleset: Ruleset, table: NatTable
) -> Iterator[str]:
    """The stale chains that rules of others refer to; ours are flushed or refilled without."""
    going = {jump.rule for jump in stale_jumps}
    ours = ruleset.names.union(stale)
    referenced = {
        target
        for name, chain in table.chains.items()
        if name not in ours
        for rule in chain.rules
        if rule not in going
        for _, target in targets(rule)
    }
    return (name for name in stale if name in referenced)


def _unused_bases(
    ruleset: Ruleset, table: NatTable, owned: frozenset[str], stale_jumps: list[Jump]
) -> Iterator[str]:
    used = {jump.base for jump in ruleset.jumps}
    going = {jump.rule for jump in stale_jumps}
    for base in sorted(owned & BUILTIN_CHAINS & table.chains.keys() - used):
        if going.issuperset(table.rules(base)):
            yield base
