"""What a network namespace holds of nf_tables, read from dumps.

A snapshot tells what `iptables-save` does not: that a table is dormant, that another process owns
it, that OUTPUT is no base chain or hangs at another priority, and which other tables have a hook.
"""

from dataclasses import dataclass
from typing import Final

from capture_nft.attributes import long_number, number, signed, text, values
from capture_nft.counters import without_counts
from capture_nft.dumps import messages_of
from capture_nft.errors import MalformedDumpError
from capture_nft.messages import Hook
from capture_nft.uapi import (
    FAMILY_OFFSET,
    NF_HEADER,
    TABLE_DORMANT,
    TABLE_OWNED,
    ChainAttribute,
    HookAttribute,
    MessageType,
    RuleAttribute,
    TableAttribute,
)
from capture_nft.userdata import comment_in

_POLICIES: Final = {0: "DROP", 1: "ACCEPT"}


@dataclass(frozen=True, slots=True)
class NftTable:
    """A table; `family` is one of `NfFamily`."""

    family: int
    name: str
    dormant: bool
    """It is switched off: its chains and rules are there, and no packet meets them."""
    owned: bool
    """A process owns it, and nobody else may write it."""


@dataclass(frozen=True, slots=True)
class NftBase:
    """What makes a chain a base chain; `kind` is `nat`, `filter` or `route`."""

    hook: Hook
    kind: str
    policy: str
    """`ACCEPT` or `DROP`."""


@dataclass(frozen=True, slots=True)
class NftChain:
    """A chain, with its comment if it has one; `base` is None unless packets enter here."""

    family: int
    table: str
    name: str
    handle: int
    comment: str | None
    base: NftBase | None


@dataclass(frozen=True, slots=True)
class NftRule:
    """A rule: the list of its expressions, counters at zero, and its comment if it has one."""

    family: int
    table: str
    chain: str
    handle: int
    expressions: bytes
    comment: str | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Tables, chains and rules in the kernel's order: those of a chain as packets meet them."""

    tables: tuple[NftTable, ...] = ()
    chains: tuple[NftChain, ...] = ()
    rules: tuple[NftRule, ...] = ()


def decode(dumps: bytes) -> Snapshot:
    """Read dumps, one after the other in any order, of tables, chains, rules or all of them.

    Raises:
        MalformedDumpError: these are no whole dumps.
        DumpInterruptedError: the ruleset changed while it was dumped.
        KernelRefusalError: the kernel reports an error in place of content.
    """
    tables: list[NftTable] = []
    chains: list[NftChain] = []
    rules: list[NftRule] = []
    for kind, start, end in messages_of(dumps):
        family, attributes = dumps[start + FAMILY_OFFSET], values(dumps, start + NF_HEADER, end)
        if kind == MessageType.NEWRULE:
            rules.append(_rule(family, attributes))
        elif kind == MessageType.NEWCHAIN:
            chains.append(_chain(family, attributes))
        elif kind == MessageType.NEWTABLE:
            tables.append(_table(family, attributes))
        else:
            raise MalformedDumpError(f"a message of type {kind:#x} in a dump of rulesets")
    return Snapshot(tuple(tables), tuple(chains), tuple(rules))


def _table(family: int, attributes: dict[int, bytes]) -> NftTable:
    flags = number(attributes.get(TableAttribute.FLAGS, bytes(4)))
    return NftTable(
        family,
        text(_required(attributes, TableAttribute.NAME)),
        bool(flags & TABLE_DORMANT),
        bool(flags & TABLE_OWNED),
    )


def _chain(family: int, attributes: dict[int, bytes]) -> NftChain:
    return NftChain(
        family,
        text(_required(attributes, ChainAttribute.TABLE)),
        text(_required(attributes, ChainAttribute.NAME)),
        long_number(_required(attributes, ChainAttribute.HANDLE)),
        comment_in(attributes.get(ChainAttribute.USERDATA, b"")),
        _base(attributes) if ChainAttribute.HOOK in attributes else None,
    )


def _base(attributes: dict[int, bytes]) -> NftBase:
    nested = attributes[ChainAttribute.HOOK]
    hook = values(nested, 0, len(nested))
    policy = number(_required(attributes, ChainAttribute.POLICY))
    return NftBase(
        Hook(
            number(_required(hook, HookAttribute.NUMBER)),
            signed(_required(hook, HookAttribute.PRIORITY)),
        ),
        text(_required(attributes, ChainAttribute.TYPE)),
        _POLICIES.get(policy, str(policy)),
    )


def _rule(family: int, attributes: dict[int, bytes]) -> NftRule:
    return NftRule(
        family,
        text(_required(attributes, RuleAttribute.TABLE)),
        text(_required(attributes, RuleAttribute.CHAIN)),
        long_number(_required(attributes, RuleAttribute.HANDLE)),
        without_counts(attributes.get(RuleAttribute.EXPRESSIONS, b"")),
        comment_in(attributes.get(RuleAttribute.USERDATA, b"")),
    )


def _required(attributes: dict[int, bytes], kind: int) -> bytes:
    if kind not in attributes:
        raise MalformedDumpError(f"a message without its attribute {kind}")
    return attributes[kind]
