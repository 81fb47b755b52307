"""The nat table of one family in a snapshot, as the nat domain knows it.

A rule that can't be read has a text all the same, which is no rule's: whoever is root in a pod can
make the kernel hold a rule that iptables prints as one of ours, by the name of an interface or of
a chain, or by a set, which iptables leaves out. What is ours is decided by what was decoded alone.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from capture_nat.families import Family
from capture_nat.tables import NatTable, TableChain, UnreadableTableError
from capture_nft.errors import MalformedDumpError, UnknownExpressionError, UnreadableRuleError
from capture_nft.messages import NAT
from capture_nft.reading import rule_of
from capture_nft.rule_texts import RuleTexts
from capture_nft.snapshots import NftRule, Snapshot
from capture_nft.uapi import NfFamily

Places = Mapping[tuple[str, int], str]
"""Something about rules, by their chain and their index in it."""


@dataclass(frozen=True, slots=True)
class ReadTable:
    """A table, and why some of its rules could not be read.

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
    unknown: dict[tuple[str, int], str] = {}
    for rule in snapshot.rules:
        if (rule.family, rule.table) == (number, NAT):
            found = rules[rule.chain]
            text, reason = _text(rule, family, texts)
            if reason:
                unknown[rule.chain, len(found)] = reason
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

    A text that could be a rule of ours is not what the kernel holds: that would have been read.

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
            _never_ours(theirs[place]) if (name, place) in unknown else rule
            for place, rule in enumerate(chain.rules)
        )
        table = table.with_chain(name, replace(chain, rules=tuple(rules)))
    return table


def _text(rule: NftRule, family: Family, texts: RuleTexts) -> tuple[str, str]:
    try:
        return texts.text(rule, family), ""
    except (UnknownExpressionError, MalformedDumpError) as error:
        return f"-A {rule.chain} (unreadable: {error})", str(error)


def _never_ours(text: str) -> str:
    try:
        rule_of(text)
    except UnreadableRuleError:
        return text
    return f"{text} (and more that iptables does not print)"
