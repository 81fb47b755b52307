"""The handles of a table's rules, by which the kernel deletes one of them."""

import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterator

from capture_nat.families import Family
from capture_nft.attributes import text, values
from capture_nft.dumps import messages_of
from capture_nft.errors import MalformedDumpError, UnknownExpressionError
from capture_nft.messages import NAT
from capture_nft.plans import Handles
from capture_nft.rule_texts import RuleTexts
from capture_nft.snapshots import NftRule, decode
from capture_nft.uapi import (
    FAMILY_OFFSET,
    NF_HEADER,
    MessageType,
    NfFamily,
    RuleAttribute,
)


def handles_in(dump: bytes, family: Family, chains: Collection[str], texts: RuleTexts) -> Handles:
    """Find the handles of the rules of some chains of a family's nat table, by their texts.

    Nothing else in the dump is read. Rules that can't be read are none of ours, and have none here.

    Raises:
        NftError: see `capture_nft.snapshots.decode`.
    """
    found: defaultdict[str, tuple[int, ...]] = defaultdict(tuple)
    for rule in _rules(dump, family, chains):
        with contextlib.suppress(UnknownExpressionError, MalformedDumpError):
            found[texts.text(rule, family)] += (rule.handle,)
    return found


def _rules(dump: bytes, family: Family, chains: Collection[str]) -> Iterator[NftRule]:
    number = NfFamily.of(family)
    for kind, start, end in messages_of(dump):
        if kind == MessageType.NEWRULE and dump[start + FAMILY_OFFSET] == number:
            attributes = values(dump, start + NF_HEADER, end)
            table = text(attributes.get(RuleAttribute.TABLE, b""))
            if table == NAT and text(attributes.get(RuleAttribute.CHAIN, b"")) in chains:
                yield from decode(dump[start:end]).rules
