"""`-m owner`: who sent the packet (struct xt_owner_match_info of linux/netfilter/xt_owner.h)."""

import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from capture_nft.errors import UnknownExpressionError
from capture_nft.expressions import Expression, XtMatch

_INFO: Final = struct.Struct("=IIIIBB2x")
_UID, _GID, _SOCKET, _SUPPLEMENTARY = 1, 2, 4, 8


@dataclass(frozen=True, slots=True)
class Ids:
    """A uid or gid lies (inverted: does not lie) in a range, ends included."""

    first: int
    last: int
    inverted: bool = False

    def words(self, option: str) -> str:
        """As `iptables-save` prints it."""
        ids = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{'! ' if self.inverted else ''}{option} {ids}"


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that the packet's socket belongs to; at least one of uid and gid is given."""

    NAME: ClassVar = "owner"
    REVISION: ClassVar = 1
    uid: Ids | None = None
    gid: Ids | None = None

    def expressions(self) -> tuple[Expression, ...]:
        """The kernel has no other expression for a range of ids that iptables could list."""
        none = Ids(0, 0)
        uid, gid = self.uid or none, self.gid or none
        match = _UID * bool(self.uid) | _GID * bool(self.gid)
        invert = _UID * uid.inverted | _GID * gid.inverted
        info = _INFO.pack(uid.first, uid.last, gid.first, gid.last, match, invert)
        return (XtMatch(self.NAME, self.REVISION, info),)

    @classmethod
    def of(cls, info: bytes) -> Self:
        """Read what the kernel holds.

        Raises:
            UnknownExpressionError: it asks for a socket, supplementary groups, or nothing.
        """
        uid_first, uid_last, gid_first, gid_last, match, invert = _INFO.unpack_from(info)
        if not match or match & (_SOCKET | _SUPPLEMENTARY):
            raise UnknownExpressionError("a match owner that asks for more than ids")
        return cls(
            Ids(uid_first, uid_last, bool(invert & _UID)) if match & _UID else None,
            Ids(gid_first, gid_last, bool(invert & _GID)) if match & _GID else None,
        )

    def words(self) -> str:
        """As `iptables-save` prints it."""
        uid = self.uid.words("--uid-owner") if self.uid else ""
        gid = self.gid.words("--gid-owner") if self.gid else ""
        return " ".join(filter(None, ("-m owner", uid, gid)))
