"""`-m conntrack --ctstate` and its older form `-m state` (struct xt_conntrack_mtinfo3)."""

import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from capture_nft.errors import UnknownExpressionError
from capture_nft.expressions import Expression, XtMatch

_INFO: Final = struct.Struct("=146xHHHH10x")
_STATE: Final = 0x0001
_OLDER_FORM: Final = 0x2000
_BITS: Final = {
    "INVALID": 1, "NEW": 8, "RELATED": 4, "ESTABLISHED": 2, "UNTRACKED": 256, "SNAT": 64,
    "DNAT": 128,
}  # fmt: skip
"""In the order in which iptables prints them."""
_BITS_OF_OLDER_FORM: Final = 0x10F


@dataclass(frozen=True, slots=True)
class ConntrackState:
    """The packet's connection is (inverted: is not) in one of these states, e.g. `NEW`."""

    NAME: ClassVar = "conntrack"
    REVISION: ClassVar = 3
    states: tuple[str, ...]
    inverted: bool = False
    older_form: bool = False

    def expressions(self) -> tuple[Expression, ...]:
        """As iptables sends it."""
        flags = _STATE | _OLDER_FORM * self.older_form
        bits = sum(_BITS[state] for state in self.states)
        info = _INFO.pack(flags, _STATE * self.inverted, bits, 0)
        return (XtMatch(self.NAME, self.REVISION, info),)

    @classmethod
    def of(cls, info: bytes) -> Self:
        """Read what the kernel holds.

        Raises:
            UnknownExpressionError: it asks for more than states.
        """
        flags, invert, bits, _ = _INFO.unpack_from(info)
        older_form = flags == _STATE | _OLDER_FORM
        if flags & ~_OLDER_FORM != _STATE or (older_form and bits & ~_BITS_OF_OLDER_FORM):
            raise UnknownExpressionError("a match conntrack that asks for more than states")
        states = tuple(state for state, bit in _BITS.items() if bits & bit)
        return cls(states, bool(invert), older_form)

    def words(self) -> str:
        """As `iptables-save` prints it."""
        name, option = ("state", "--state") if self.older_form else ("conntrack", "--ctstate")
        return f"-m {name} {'! ' if self.inverted else ''}{option} {','.join(self.states)}"
