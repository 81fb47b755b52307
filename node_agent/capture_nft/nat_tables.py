"""The nat table of one family in a snapshot, as the nat domain knows it.

A rule that can't be read has a text all the same, which is no rule's: whoever is root in a pod can
make the kernel hold a rule that iptables prints as one of ours, by the name of an interface or of
a chain, or by a set, which iptables leaves out. What is ours is decided by what was decoded alone.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from capture_nat.families import Family
from capture_nat.tables import NatTable, TableChain, UnreadableTableError
from capture_nft.errors import (
    MalformedDumpError,
    UnknownExpressionError,
    UnknownExtensionError,
    UnreadableRuleError,
)
from capture_nft.messages import NAT
from capture_nft.reading import rule_of
from capture_nft.rule_texts import RuleTexts
from capture_nft.snapshots import NftRule, Snapshot
from capture_nft.uapi import NfFamily

_MORE: Final = "(more than iptables prints)"


class Unread(Enum):
    """Why a rule could not be read, as far as it matters to what the tools print."""

    EXTENSION = auto()
    """It has an extension that is not known here: the tools print all of it."""
    ELSE = auto()
    """It is none of iptables', which may print less than it is, or something else."""


Places = Mapping[tuple[str, int], Unread]
"""Rules that could not be read, by their chain and their index in it."""


@dataclass(frozen=True, slots=True)
class ReadTable:
    """A table, and which of its rules could not be read.

    Those have a text that no rule is printed as, `-A CHAIN (unreadable: ...)`.
    """

    table: NatTable = field(default_factory=NatTable)
    unknown: Places = field(default_factory=dict)


def nat_table_of(snapshot: Snapshot, family: Family, texts: RuleTexts) -> ReadTable:
    """The table that `iptables-save -t nat` would print; chains that are not there are not in it.

    A chain has a policy if it is a base chain, whatever its name, hook and priority.

    Raises:
        MalformedDumpError: two chains have names that print alike, or a rule has no chain.
    """
    number = NfFamily.of(family)
    rules: defaultdict[str, list[str]] = defaultdict(list)
    unknown: dict[tuple[str, int], Unread] = {}
    for rule in snapshot.rules:
        if (rule.family, rule.table) == (number, NAT):
            found = rules[rule.chain]
            text, unread = _text(rule, family, texts)
            if unread:
                unknown[rule.chain, len(found)] = unread
            found.append(text)
    chains: dict[str, TableChain] = {}
    for chain in snapshot.chains:
        if (chain.family, chain.table) == (number, NAT):
            if chain.name in chains:
                raise MalformedDumpError(f"two chains are printed as {chain.name}")
            policy = chain.base.policy if chain.base else None
            chains[chain.name] = TableChain(policy, tuple(rules.pop(chain.name, ())))
    if rules:
        raise MalformedDumpError(f"rules of a chain that is not there: {next(iter(rules))}")
    return ReadTable(NatTable(chains), unknown)


def filled_in(table: NatTable, unknown: Places, printed: NatTable) -> NatTable:
    """Put the tools' texts of rules that could not be read into a table.

    A text that could be a rule of ours is not what the kernel holds: that would have been read. And
    where the rule is none of iptables', its text begins with a remark that no tool prints: it may
    decide about packets that it seems to pass, as one with a map of verdicts or `-p` of more than
    one protocol.

    Args:
        table: what was read.
        unknown: the rules to fill in.
        printed: the same table as the tools print it.

    Raises:
        UnreadableTableError: the tools print another number of rules.
    """
    for name in sorted({chain for chain, _ in unknown}):
        chain, theirs = table.chains[name], printed.rules(name)
        if len(theirs) != len(chain.rules):
            raise UnreadableTableError(
                f"chain {name} holds {len(chain.rules)} rules, and iptables prints {len(theirs)}"
            )
        rules = (
            _printed(theirs[place], name, unread)
            if (unread := unknown.get((name, place)))
            else rule
            for place, rule in enumerate(chain.rules)
        )
        table = table.with_chain(name, replace(chain, rules=tuple(rules)))
    return table


def _text(rule: NftRule, family: Family, texts: RuleTexts) -> tuple[str, Unread | None]:
    try:
        return texts.text(rule, family), None
    except UnknownExtensionError as error:
        return _unreadable(rule, error), Unread.EXTENSION
    except (UnknownExpressionError, MalformedDumpError) as error:
        return _unreadable(rule, error), Unread.ELSE


def _unreadable(rule: NftRule, error: Exception) -> str:
    return f"-A {rule.chain} (unreadable: {error})"


def _printed(text: str, chain: str, unread: Unread) -> str:
    if unread is Unread.EXTENSION and not _could_be_ours(text):
        return text
    return f"-A {chain} {_MORE}{text.removeprefix(f'-A {chain}')}"


def _could_be_ours(text: str) -> bool:
    try:
        rule_of(text)
    except UnreadableRuleError:
        return False
    return True
