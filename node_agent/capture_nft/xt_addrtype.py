"""`-m addrtype`: how the pod's routing sees an address (struct xt_addrtype_info_v1)."""

import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from capture_nft.errors import UnknownExpressionError
from capture_nft.expressions import Expression, XtMatch

_INFO: Final = struct.Struct("=HHI")
_INVERT_SOURCE, _INVERT_DESTINATION, _LIMIT_IN, _LIMIT_OUT = 1, 2, 4, 8
_TYPES: Final = (
    "UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE",
    "UNREACHABLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AddressTypes:
    """An address is (inverted: is not) of one of these types, e.g. `LOCAL`."""

    types: tuple[str, ...]
    inverted: bool = False

    @property
    def bits(self) -> int:
        """The types as the kernel counts them."""
        return sum(1 << _TYPES.index(each) for each in self.types)

    def words(self, option: str) -> str:
        """As `iptables-save` prints it."""
        return f"{'! ' if self.inverted else ''}{option} {','.join(self.types)}"


@dataclass(frozen=True, slots=True)
class AddressType:
    """The types of the packet's addresses; at least one of the two is given."""

    NAME: ClassVar = "addrtype"
    REVISION: ClassVar = 1
    source: AddressTypes | None = None
    destination: AddressTypes | None = None

    def expressions(self) -> tuple[Expression, ...]:
        """As iptables sends it."""
        none = AddressTypes(())
        source, destination = self.source or none, self.destination or none
        flags = _INVERT_SOURCE * source.inverted | _INVERT_DESTINATION * destination.inverted
        info = _INFO.pack(source.bits, destination.bits, flags)
        return (XtMatch(self.NAME, self.REVISION, info),)

    @classmethod
    def of(cls, info: bytes) -> Self:
        """Read what the kernel holds.

        Raises:
            UnknownExpressionError: it is limited to an interface, or has a type without a name.
        """
        source, destination, flags = _INFO.unpack_from(info)
        if (source | destination) >> len(_TYPES) or flags & (_LIMIT_IN | _LIMIT_OUT):
            raise UnknownExpressionError("a match addrtype with more than types")
        return cls(
            _types(source, inverted=bool(flags & _INVERT_SOURCE)),
            _types(destination, inverted=bool(flags & _INVERT_DESTINATION)),
        )

    def words(self) -> str:
        """As `iptables-save` prints it."""
        source = self.source.words("--src-type") if self.source else ""
        destination = self.destination.words("--dst-type") if self.destination else ""
        return " ".join(filter(None, ("-m addrtype", source, destination)))


def _types(bits: int, *, inverted: bool) -> AddressTypes | None:
    names = tuple(name for bit, name in enumerate(_TYPES) if bits >> bit & 1)
    return AddressTypes(names, inverted) if names else None
