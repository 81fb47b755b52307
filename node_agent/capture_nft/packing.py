"""Expressions to the bytes that iptables-nft sends for them."""

from typing import Final

from capture_nft.attributes import attribute, be32, be64, nested, string
from capture_nft.expressions import (
    Bitwise,
    Cmp,
    Counter,
    Expression,
    Immediate,
    Meta,
    Payload,
    Range,
    XtMatch,
    XtTarget,
)
from capture_nft.uapi import (
    DATA_REGISTER,
    DATA_VALUE,
    DATA_VERDICT,
    EXPRESSION_DATA,
    EXPRESSION_NAME,
    LIST_ELEMENT,
    VERDICT_REGISTER,
)

_XT_ALIGNMENT: Final = 8


def pack(expression: Expression) -> bytes:
    """One element of a rule's list of expressions."""
    match expression:
        case Meta(key):
            return _element("meta", be32(2, key), be32(1, DATA_REGISTER))
        case Cmp(data, inverted):
            return _element("cmp", be32(1, DATA_REGISTER), be32(2, inverted), _data(3, data))
        case Counter():
            return _element("counter", be64(1, 0), be64(2, 0))
        case XtMatch(name, revision, info):
            return _element("match", *_extension(name, revision, info))
        case XtTarget(name, revision, info):
            return _element("target", *_extension(name, revision, info))
    return _pack_larger(expression)


def _pack_larger(expression: Payload | Bitwise | Range | Immediate) -> bytes:
    match expression:
        case Payload(base, offset, length):
            numbers = (be32(2, base), be32(3, offset), be32(4, length))
            return _element("payload", be32(1, DATA_REGISTER), *numbers)
        case Bitwise(mask):
            registers = (be32(1, DATA_REGISTER), be32(2, DATA_REGISTER), be32(3, len(mask)))
            return _element("bitwise", *registers, _data(4, mask), _data(5, bytes(len(mask))))
        case Range(first, last, inverted):
            ends = (_data(3, first), _data(4, last))
            return _element("range", be32(1, DATA_REGISTER), be32(2, inverted), *ends)
        case Immediate(code, chain):
            verdict = [be32(1, code), *([string(2, chain)] if chain else [])]
            decision = nested(2, nested(DATA_VERDICT, *verdict))
            return _element("immediate", be32(1, VERDICT_REGISTER), decision)


def _element(name: str, *fields: bytes) -> bytes:
    return nested(LIST_ELEMENT, string(EXPRESSION_NAME, name), nested(EXPRESSION_DATA, *fields))


def _extension(name: str, revision: int, info: bytes) -> tuple[bytes, ...]:
    padding = bytes(-len(info) % _XT_ALIGNMENT)
    return string(1, name), be32(2, revision), attribute(3, info + padding)


def _data(kind: int, value: bytes) -> bytes:
    return nested(kind, attribute(DATA_VALUE, value))
