"""What can be asked of nf_tables about the nat table of one family: a netlink message each.

A message has no sequence number yet. Those that write belong into a transaction; those that ask
(`get_generation`, `dump_...`) are sent as they are.
"""

import struct
from dataclasses import dataclass
from typing import Final

from capture_nat.families import Family
from capture_nft.attributes import attribute, be32, be64, nested, string
from capture_nft.encoding import encode_compat, encode_expressions
from capture_nft.rules import Rule
from capture_nft.uapi import (
    MESSAGE_HEADER,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    ChainAttribute,
    HookAttribute,
    MessageType,
    NfFamily,
    RuleAttribute,
    TableAttribute,
)
from capture_nft.userdata import comment_data

NAT: Final = "nat"
"""The table, and the type of its base chains."""

_HEADER: Final = struct.Struct("=IHHII")
_NF_HEADER: Final = struct.Struct(">BBH")


@dataclass(frozen=True, slots=True)
class Hook:
    """Where packets enter a base chain: a hook of netfilter, and the place among others there."""

    number: int
    priority: int


HOOKS: Final = {
    "PREROUTING": Hook(0, -100),
    "INPUT": Hook(1, 100),
    "OUTPUT": Hook(3, -100),
    "POSTROUTING": Hook(4, 100),
}
"""The hooks of the base chains that iptables knows in the nat table."""


def message(
    kind: MessageType, flags: int, family: NfFamily, *attributes: bytes, resource: int = 0
) -> bytes:
    """A whole message; `resource` is a subsystem's number in the messages around a batch."""
    body = _NF_HEADER.pack(family, 0, resource) + b"".join(attributes)
    return _HEADER.pack(MESSAGE_HEADER + len(body), kind, flags | NLM_F_REQUEST, 0, 0) + body


def add_table(family: Family) -> bytes:
    """Create the nat table if it is not there."""
    name = string(TableAttribute.NAME, NAT)
    return message(MessageType.NEWTABLE, NLM_F_CREATE, NfFamily.of(family), name)


def wake_table(family: Family) -> bytes:
    """Switch the nat table on again if it is dormant."""
    name = string(TableAttribute.NAME, NAT)
    awake = be32(TableAttribute.FLAGS, 0)
    return message(MessageType.NEWTABLE, 0, NfFamily.of(family), name, awake)


def add_chain(
    family: Family, name: str, *, comment: str | None = None, hook: Hook | None = None
) -> bytes:
    """Create a chain if it is not there; one that is keeps its comment and its policy.

    With a hook it is a base chain. It gets no policy, which means ACCEPT: given one, the kernel
    would put it in the place of a policy that somebody chose.
    """
    return _new_chain(family, NLM_F_CREATE, name, comment, hook)


def create_chain(
    family: Family, name: str, *, comment: str | None = None, hook: Hook | None = None
) -> bytes:
    """Create a chain; one that is there makes the transaction fail with EEXIST."""
    return _new_chain(family, NLM_F_CREATE | NLM_F_EXCL, name, comment, hook)


def flush_chain(family: Family, chain: str) -> bytes:
    """Delete every rule of a chain; without such a chain the transaction fails with ENOENT."""
    return message(MessageType.DELRULE, 0, NfFamily.of(family), *_in_chain(chain))


def delete_chain(family: Family, chain: str) -> bytes:
    """Delete a chain; one with rules, or referred to, makes the transaction fail with EBUSY."""
    named = string(ChainAttribute.TABLE, NAT), string(ChainAttribute.NAME, chain)
    return message(MessageType.DELCHAIN, 0, NfFamily.of(family), *named)


def append_rule(family: Family, chain: str, rule: Rule) -> bytes:
    """Add a rule behind those of its chain."""
    flags = NLM_F_CREATE | NLM_F_APPEND
    return message(MessageType.NEWRULE, flags, NfFamily.of(family), *_rule(family, chain, rule))


def insert_rule(family: Family, chain: str, rule: Rule) -> bytes:
    """Add a rule ahead of those of its chain."""
    attributes = _rule(family, chain, rule)
    return message(MessageType.NEWRULE, NLM_F_CREATE, NfFamily.of(family), *attributes)


def delete_rule(family: Family, chain: str, handle: int) -> bytes:
    """Delete the rule of this handle; without it the transaction fails with ENOENT."""
    which = be64(RuleAttribute.HANDLE, handle)
    return message(MessageType.DELRULE, 0, NfFamily.of(family), *_in_chain(chain), which)


def get_generation() -> bytes:
    """Ask for the generation: how often rulesets of this network namespace were changed."""
    return message(MessageType.GETGEN, 0, NfFamily.UNSPEC)


def dump_tables() -> bytes:
    """Ask for the tables of every family."""
    return message(MessageType.GETTABLE, NLM_F_DUMP, NfFamily.UNSPEC)


def dump_chains() -> bytes:
    """Ask for the chains of every table."""
    return message(MessageType.GETCHAIN, NLM_F_DUMP, NfFamily.UNSPEC)


def dump_rules() -> bytes:
    """Ask for the rules of every table."""
    return message(MessageType.GETRULE, NLM_F_DUMP, NfFamily.UNSPEC)


def _new_chain(
    family: Family, flags: int, name: str, comment: str | None, hook: Hook | None
) -> bytes:
    attributes = [string(ChainAttribute.TABLE, NAT), string(ChainAttribute.NAME, name)]
    if hook:
        number = be32(HookAttribute.NUMBER, hook.number)
        priority = be32(HookAttribute.PRIORITY, hook.priority)
        attributes.append(nested(ChainAttribute.HOOK, number, priority))
        attributes.append(string(ChainAttribute.TYPE, NAT))
    if comment is not None:
        attributes.append(attribute(ChainAttribute.USERDATA, comment_data(comment)))
    return message(MessageType.NEWCHAIN, flags, NfFamily.of(family), *attributes)


def _in_chain(chain: str) -> tuple[bytes, bytes]:
    return string(RuleAttribute.TABLE, NAT), string(RuleAttribute.CHAIN, chain)


def _rule(family: Family, chain: str, rule: Rule) -> tuple[bytes, ...]:
    expressions = nested(RuleAttribute.EXPRESSIONS, encode_expressions(rule, family))
    return *_in_chain(chain), expressions, encode_compat(rule)
