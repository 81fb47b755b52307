"""Values that a rule compares something of the packet with, if it does so as iptables does."""

import sys
from collections import deque
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from capture_nat.families import Family
from capture_nft.errors import UnknownExpressionError
from capture_nft.expressions import Bitwise, Cmp, Held, Range
from capture_nft.headers import INTERFACE_NAME, Addresses, Interface, Protocol
from capture_nft.matches import ALL_BITS, ANY_PORT, PORT_SIZE, Mark, Ports

_MARK_SIZE: Final = 4


class Operands:
    """The expressions of a rule that are still to be read; what follows a load is its operand.

    Each method takes one operand, and raises `UnknownExpressionError` if it is none.
    """

    def __init__(self, expressions: Iterable[Held], family: Family) -> None:
        self._left = deque(expressions)
        self._family = family

    def next(self) -> Held | None:
        """Take whatever comes next; None at the end."""
        return self._left.popleft() if self._left else None

    def interface(self) -> Interface:
        """Take the name of an interface, or how it begins."""
        cmp = self._cmp()
        name = cmp.data.rstrip(b"\0").decode("latin-1")
        terminated = cmp.data.endswith(b"\0")
        # `eth+` with a NUL is the interface of that very name, which iptables prints alike.
        if not INTERFACE_NAME.fullmatch(name) or (terminated and name.endswith("+")):
            raise UnknownExpressionError(f"an interface of an ambiguous name: {name!r}")
        return Interface(name + ("" if terminated else "+"), cmp.inverted)

    def protocol(self) -> Protocol:
        """Take the number of a protocol."""
        cmp = self._cmp(1)
        if not cmp.data[0]:
            raise UnknownExpressionError("protocol 0, which iptables does not print")
        return Protocol(cmp.data[0], cmp.inverted)

    def mark(self) -> Mark:
        """Take a mark with its mask."""
        mask = self._mask(_MARK_SIZE)
        cmp = self._cmp(_MARK_SIZE)
        bits = int.from_bytes(mask, sys.byteorder) if mask else ALL_BITS
        return Mark(int.from_bytes(cmp.data, sys.byteorder), bits, cmp.inverted)

    def addresses(self, length: int) -> Addresses:
        """Take a network; `length` bytes of the address were loaded."""
        size = 4 if self._family is Family.IPV4 else 16
        mask = self._mask(length)
        cmp = self._cmp(length)
        if not 0 < length <= size or (mask and length != size):
            raise UnknownExpressionError(f"a match of {length} bytes of an address")
        prefix = _prefix(mask) if mask else 8 * length
        network = IPv4Network if self._family is Family.IPV4 else IPv6Network
        try:
            return Addresses(network((cmp.data.ljust(size, b"\0"), prefix)), cmp.inverted)
        except ValueError as error:
            raise UnknownExpressionError(f"no network: {error}") from error

    def any(self) -> None:
        """Take a comparison of whatever was loaded, without understanding it."""
        if self._left and isinstance(self._left[0], Bitwise):
            self._left.popleft()
        if not isinstance(self.next(), Cmp | Range):
            raise UnknownExpressionError("something that is not compared as iptables does")

    def ports(self) -> Ports:
        """Take a port or a range."""
        match self.next():
            case Cmp(data, inverted):
                first = last = data
            case Range(first, last, inverted):
                pass
            case _:
                raise UnknownExpressionError("a port that is not compared as iptables does")
        if not len(first) == len(last) == PORT_SIZE or first > last:
            raise UnknownExpressionError("a port that iptables does not write")
        ends = int.from_bytes(first, "big"), int.from_bytes(last, "big")
        if ends == ANY_PORT:
            raise UnknownExpressionError("any port, which iptables does not print")
        return Ports(*ends, inverted)

    def _cmp(self, size: int | None = None) -> Cmp:
        expression = self.next()
        if not isinstance(expression, Cmp) or size not in {None, len(expression.data)}:
            raise UnknownExpressionError(f"a value that is not compared as iptables does: {size}")
        return expression

    def _mask(self, size: int) -> bytes | None:
        if not self._left or not isinstance(self._left[0], Bitwise):
            return None
        mask = self._left[0].mask
        if len(mask) != size:
            raise UnknownExpressionError(f"a mask of {len(mask)} bytes")
        self._left.popleft()
        return mask


def _prefix(mask: bytes) -> int:
    bits = int.from_bytes(mask, "big")
    prefix = bits.bit_count()
    if not prefix or bits >> (8 * len(mask) - prefix) != (1 << prefix) - 1:
        raise UnknownExpressionError("a mask of an address that is no prefix")
    return prefix
