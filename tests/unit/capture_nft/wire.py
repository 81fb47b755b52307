"""Messages as the kernel sends them, for tests of what reads them."""

import struct

from capture_nat.families import Family
from capture_nft.attributes import attribute, be32, be64, nested, string
from capture_nft.encoding import encode_expressions
from capture_nft.reading import rule_of
from capture_nft.uapi import (
    ChainAttribute,
    HookAttribute,
    MessageType,
    NfFamily,
    RuleAttribute,
    TableAttribute,
)
from capture_nft.userdata import comment_data

_MULTI = 2
_COUNTER = bytes.fromhex("0c000100") + bytes(8) + bytes.fromhex("0c000200") + bytes(8)


def message(kind: int, body: bytes, *, flags: int = _MULTI, sequence: int = 0) -> bytes:
    """A message with a header of its length."""
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 4711) + body


def answer(
    kind: MessageType, family: int, *attributes: bytes, flags: int = _MULTI, sequence: int = 0
) -> bytes:
    """A message of nf_tables."""
    body = struct.pack(">BBH", family, 0, 7) + b"".join(attributes)
    return message(kind, body, flags=flags, sequence=sequence)


def result(kind: MessageType, error: int = 0, sequence: int = 0) -> bytes:
    """A DONE, or an ERROR about a message."""
    return message(kind, struct.pack("=i", -error) + bytes(16), sequence=sequence)


def table(flags: int = 0, *, name: str = "nat", family: int = NfFamily.IPV4) -> bytes:
    """A table in a dump."""
    attributes = (string(TableAttribute.NAME, name), be32(TableAttribute.FLAGS, flags))
    return answer(MessageType.NEWTABLE, family, *attributes)


def chain(name: str, *, handle: int = 1, comment: str | None = None) -> bytes:
    """A chain in a dump that is no base chain."""
    userdata = (
        [attribute(ChainAttribute.USERDATA, comment_data(comment))] if comment is not None else []
    )
    return answer(MessageType.NEWCHAIN, NfFamily.IPV4, *_chain(name, handle), *userdata)


def base_chain(name: str, *, priority: int = -100, policy: int = 1) -> bytes:
    """A base chain at the output hook in a dump."""
    return answer(
        MessageType.NEWCHAIN,
        NfFamily.IPV4,
        *_chain(name, 1),
        nested(
            ChainAttribute.HOOK,
            be32(HookAttribute.NUMBER, 3),
            be32(HookAttribute.PRIORITY, priority),
        ),
        be32(ChainAttribute.POLICY, policy),
        string(ChainAttribute.TYPE, "nat"),
    )


def rule(text: str, *, handle: int = 1, packets: int = 0, sequence: int = 0) -> bytes:
    """A rule of ours in a dump, with what it counted."""
    counted = _COUNTER[:-8] + struct.pack(">Q", packets)
    expressions = encode_expressions(rule_of(text), Family.IPV4).replace(_COUNTER, counted)
    return answer(
        MessageType.NEWRULE,
        NfFamily.IPV4,
        string(RuleAttribute.TABLE, "nat"),
        string(RuleAttribute.CHAIN, text.split()[1]),
        be64(RuleAttribute.HANDLE, handle),
        nested(RuleAttribute.EXPRESSIONS, expressions),
        sequence=sequence,
    )


def _chain(name: str, handle: int) -> tuple[bytes, ...]:
    return (
        string(ChainAttribute.TABLE, "nat"),
        be64(ChainAttribute.HANDLE, handle),
        string(ChainAttribute.NAME, name),
    )
