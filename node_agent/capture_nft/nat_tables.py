"""The nat table of one family in a snapshot, as the nat domain knows it."""

from collections import defaultdict

from capture_nat.families import Family
from capture_nat.tables import NatTable, TableChain
from capture_nft.errors import MalformedDumpError
from capture_nft.messages import NAT
from capture_nft.rule_texts import RuleTexts
from capture_nft.snapshots import Snapshot
from capture_nft.uapi import NfFamily


def nat_table_of(snapshot: Snapshot, family: Family, texts: RuleTexts) -> NatTable:
    """The table that `iptables-save -t nat` would print; chains that are not there are not in it.

    A chain has a policy if it is a base chain, whatever its name, hook and priority.

    Raises:
        UnknownExpressionError: a rule is not known here: ask the tools.
        MalformedDumpError: two chains have names that print alike, or a rule has no chain.
    """
    number = NfFamily.of(family)
    rules: defaultdict[str, list[str]] = defaultdict(list)
    for rule in snapshot.rules:
        if (rule.family, rule.table) == (number, NAT):
            rules[rule.chain].append(texts.text(rule, family))
    chains: dict[str, TableChain] = {}
    for chain in snapshot.chains:
        if (chain.family, chain.table) == (number, NAT):
            if chain.name in chains:
                raise MalformedDumpError(f"two chains are printed as {chain.name}")
            policy = chain.base.policy if chain.base else None
            chains[chain.name] = TableChain(policy, tuple(rules.pop(chain.name, ())))
    if rules:
        raise MalformedDumpError(f"rules of a chain that is not there: {next(iter(rules))}")
    return NatTable(chains)
