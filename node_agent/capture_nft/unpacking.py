"""The bytes of a rule's expressions back to expressions, each understood to the last attribute."""

from collections.abc import Callable, Mapping
from typing import Final

from capture_nft.attributes import number, signed, spans, text, values
from capture_nft.errors import MalformedDumpError, UnknownExpressionError
from capture_nft.expressions import (
    GOTO,
    JUMP,
    Bitwise,
    Cmp,
    Counter,
    Held,
    Immediate,
    Limit,
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
    VERDICT_REGISTER,
)

_EQUAL, _NOT_EQUAL = 0, 1


def unpack(expressions: bytes) -> tuple[Held, ...]:
    """Read a rule's list of expressions, the value of its attribute.

    Raises:
        UnknownExpressionError: one is none of the above, or has something that these lack.
        MalformedDumpError: the bytes are no such list.
    """
    return tuple(
        _unpack(values(expressions, start, end))
        for _, start, end in spans(expressions, 0, len(expressions))
    )


class _Fields:
    """The attributes of one expression; what nobody asked for makes it an unknown one."""

    def __init__(self, name: str, attributes: Mapping[int, bytes]) -> None:
        self._name = name
        self._left = dict(attributes)

    def take(self, kind: int) -> bytes:
        if kind not in self._left:
            raise self.unknown()
        return self._left.pop(kind)

    def number(self, kind: int) -> int:
        return number(self.take(kind))

    def fixed(self, kind: int, value: int) -> None:
        """Take a number that has to be this one."""
        if self.number(kind) != value:
            raise self.unknown()

    def optional_zero(self, kind: int) -> None:
        """Take a number that newer kernels add, if it says what its absence does."""
        if kind in self._left:
            self.fixed(kind, 0)

    def data(self, kind: int) -> bytes:
        value = self.take(kind)
        found = values(value, 0, len(value))
        if found.keys() != {DATA_VALUE}:
            raise self.unknown()
        return found[DATA_VALUE]

    def inverted(self, kind: int) -> bool:
        operator = self.number(kind)
        if operator not in {_EQUAL, _NOT_EQUAL}:
            raise self.unknown()
        return operator == _NOT_EQUAL

    def done(self) -> None:
        if self._left:
            raise self.unknown()

    def leave(self) -> None:
        """Take all that is left."""
        self._left.clear()

    def unknown(self) -> UnknownExpressionError:
        return UnknownExpressionError(f"an expression {self._name} that iptables does not write")


def _unpack(element: Mapping[int, bytes]) -> Held:
    if EXPRESSION_NAME not in element:
        raise MalformedDumpError("an expression without a name")
    name, data = text(element[EXPRESSION_NAME]), element.get(EXPRESSION_DATA, b"")
    if name not in _UNPACKING:
        raise UnknownExpressionError(f"iptables has no expression {name}")
    fields = _Fields(name, values(data, 0, len(data)))
    expression = _UNPACKING[name](fields)
    fields.done()
    return expression


def _meta(fields: _Fields) -> Meta:
    fields.fixed(1, DATA_REGISTER)
    return Meta(fields.number(2))


def _payload(fields: _Fields) -> Payload:
    fields.fixed(1, DATA_REGISTER)
    return Payload(fields.number(2), fields.number(3), fields.number(4))


def _bitwise(fields: _Fields) -> Bitwise:
    fields.fixed(1, DATA_REGISTER)
    fields.fixed(2, DATA_REGISTER)
    mask = fields.data(4)
    fields.fixed(3, len(mask))
    fields.optional_zero(6)  # NFT_BITWISE_MASK_XOR, the operation that iptables means
    if any(fields.data(5)):
        raise fields.unknown()
    return Bitwise(mask)


def _cmp(fields: _Fields) -> Cmp:
    fields.fixed(1, DATA_REGISTER)
    return Cmp(fields.data(3), fields.inverted(2))


def _range(fields: _Fields) -> Range:
    fields.fixed(1, DATA_REGISTER)
    return Range(fields.data(3), fields.data(4), fields.inverted(2))


def _counter(fields: _Fields) -> Counter:
    fields.take(1)
    fields.take(2)
    return Counter()


def _limit(fields: _Fields) -> Limit:
    fields.leave()
    return Limit()


def _immediate(fields: _Fields) -> Immediate:
    fields.fixed(1, VERDICT_REGISTER)
    data = fields.take(2)
    verdict = values(data, 0, len(data)).get(DATA_VERDICT, b"")
    found = values(verdict, 0, len(verdict))
    code = signed(found.get(1, b""))
    if found.keys() != ({1, 2} if code in {JUMP, GOTO} else {1}):
        raise fields.unknown()
    return Immediate(code, text(found.get(2, b"")))


def _match(fields: _Fields) -> XtMatch:
    return XtMatch(text(fields.take(1)), fields.number(2), fields.take(3))


def _target(fields: _Fields) -> XtTarget:
    return XtTarget(text(fields.take(1)), fields.number(2), fields.take(3))


_UNPACKING: Final[Mapping[str, Callable[[_Fields], Held]]] = {
    "meta": _meta,
    "payload": _payload,
    "bitwise": _bitwise,
    "cmp": _cmp,
    "range": _range,
    "counter": _counter,
    "limit": _limit,
    "immediate": _immediate,
    "match": _match,
    "target": _target,
}
