"""What a pod's nf_tables hold, as far as it matters to our rules: concluded once from a dump."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from capture_nat.families import Family
from capture_nat.rulesets import Hook
from capture_nat.tables import NatTable
from capture_nft.errors import MalformedDumpError
from capture_nft.messages import HOOKS, NAT
from capture_nft.nat_tables import Places, nat_table_of
from capture_nft.rule_texts import RuleTexts
from capture_nft.snapshots import NftChain, Snapshot
from capture_nft.uapi import NfFamily

_OUR_HOOKS: Final = {str(hook): HOOKS[hook] for hook in Hook}
_FAMILIES: Final[Mapping[int, str]] = {
    NfFamily.IPV4: "ip",
    NfFamily.IPV6: "ip6",
    NfFamily.INET: "inet",
}


@dataclass(frozen=True, slots=True)
class NatContent:
    """The nat table of one family, and what about it would keep our rules from acting.

    `unknown` says which rules could not be read, and `malformed` why the table as a whole could
    not, which is empty then. `conflict` says who else decides about the packets that our rules are
    to redirect.
    """

    table: NatTable = field(default_factory=NatTable)
    commented: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The names of the table's chains by the comment on them."""
    is_hooked: bool = False
    """Whether packets reach the table: it has a base chain."""
    is_owned: bool = False
    unknown: Places = field(default_factory=dict)
    malformed: str = ""
    conflict: str = ""


Contents = Mapping[Family, NatContent]
"""The nat tables of both families."""


def content_of(snapshot: Snapshot, family: Family, texts: RuleTexts) -> NatContent:
    """Read the nat table of a family out of a snapshot."""
    number = NfFamily.of(family)
    chains = [each for each in snapshot.chains if (each.family, each.table) == (number, NAT)]
    tables = [each for each in snapshot.tables if (each.family, each.name) == (number, NAT)]
    content = NatContent(
        commented=_commented(chains),
        is_owned=any(table.owned for table in tables),
        conflict=next(_conflicts(snapshot, chains, number), ""),
    )
    try:
        read = nat_table_of(snapshot, family, texts)
    except MalformedDumpError as error:
        return replace(content, malformed=str(error))
    is_dormant = any(table.dormant for table in tables)
    table = replace(read.table, is_dormant=is_dormant)
    is_hooked = any(chain.policy is not None for chain in table.chains.values())
    return replace(content, table=table, is_hooked=is_hooked, unknown=read.unknown)


def _commented(chains: list[NftChain]) -> dict[str, frozenset[str]]:
    names: dict[str, set[str]] = {}
    for chain in chains:
        if chain.comment is not None:
            names.setdefault(chain.comment, set()).add(chain.name)
    return {comment: frozenset(those) for comment, those in names.items()}


def _conflicts(snapshot: Snapshot, chains: list[NftChain], number: int) -> Iterator[str]:
    for chain in chains:
        hook = _OUR_HOOKS.get(chain.name)
        if hook and (chain.base is None or (chain.base.kind, chain.base.hook) != (NAT, hook)):
            yield (
                f"chain {chain.name} of table nat is not the base chain of this name that iptables "
                f"has (type nat, priority {hook.priority}): no packet reaches our rules by it; "
                "delete it"
            )
    dormant = {(table.family, table.name) for table in snapshot.tables if table.dormant}
    dormant.discard((number, NAT))  # which will be woken
    for chain in snapshot.chains:
        is_awake = (chain.family, chain.table) not in dormant
        if is_awake and _takes_our_packets(chain, number) and _has_rules(snapshot, chain):
            yield (
                f"chain {chain.name} of table {_FAMILIES[chain.family]} {chain.table} also decides "
                "where connections go, ahead of our rules or in the order of registration; delete "
                "it, or give it a priority above -100"
            )


def _takes_our_packets(chain: NftChain, number: int) -> bool:
    if chain.base is None or chain.base.kind != NAT or chain.family not in {number, NfFamily.INET}:
        return False
    is_ours = (chain.family, chain.table) == (number, NAT) and chain.name in _OUR_HOOKS
    return not is_ours and any(
        chain.base.hook.number == ours.number and chain.base.hook.priority <= ours.priority
        for ours in _OUR_HOOKS.values()
    )


def _has_rules(snapshot: Snapshot, chain: NftChain) -> bool:
    where = (chain.family, chain.table, chain.name)
    return any((rule.family, rule.table, rule.chain) == where for rule in snapshot.rules)
