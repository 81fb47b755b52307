"""`-m multiport`: up to 15 ports (struct xt_multiport_v1 of linux/netfilter/xt_multiport.h)."""

import struct
from dataclasses import dataclass
from itertools import zip_longest
from typing import ClassVar, Final, Self

from capture_nft.errors import UnknownExpressionError
from capture_nft.expressions import Expression, XtMatch

_SLOTS: Final = 15
_INFO: Final = struct.Struct(f"=BB{_SLOTS}H{_SLOTS}BB")
_OPTIONS: Final = ("--sports", "--dports", "--ports")


@dataclass(frozen=True, slots=True)
class Multiport:
    """The port is (inverted: is not) one of the ranges of (first, last), ends included.

    `option` says which port: `--sports`, `--dports`, or `--ports` for either.
    """

    NAME: ClassVar = "multiport"
    REVISION: ClassVar = 1
    option: str
    ranges: tuple[tuple[int, int], ...]
    inverted: bool = False

    def expressions(self) -> tuple[Expression, ...]:
        """A range takes two of the slots, the first of which says so."""
        slots = [
            slot
            for first, last in self.ranges
            for slot in ([(first, 0)] if first == last else [(first, 1), (last, 0)])
        ]
        filled = [slot or (0, 0) for _, slot in zip_longest(range(_SLOTS), slots)]
        ports, flags = zip(*filled, strict=True)
        mode = _OPTIONS.index(self.option)
        info = _INFO.pack(mode, len(slots), *ports, *flags, self.inverted)
        return (XtMatch(self.NAME, self.REVISION, info),)

    @classmethod
    def of(cls, info: bytes) -> Self:
        """Read what the kernel holds.

        Raises:
            UnknownExpressionError: it is none that iptables writes.
        """
        mode, count, *slots, inverted = _INFO.unpack_from(info)
        ports, flags = slots[:_SLOTS], slots[_SLOTS:]
        if mode >= len(_OPTIONS) or not 0 < count <= _SLOTS:
            raise UnknownExpressionError("a match multiport that iptables does not write")
        ranges: list[tuple[int, int]] = []
        index = 0
        while index < count:
            last = index + bool(flags[index])
            if last >= count:
                raise UnknownExpressionError("a match multiport with a range that does not end")
            ranges.append((ports[index], ports[last]))
            index = last + 1
        return cls(_OPTIONS[mode], tuple(ranges), bool(inverted))

    def words(self) -> str:
        """As `iptables-save` prints it."""
        ports = ",".join(str(a) if a == b else f"{a}:{b}" for a, b in self.ranges)
        return f"-m multiport {'! ' if self.inverted else ''}{self.option} {ports}"
