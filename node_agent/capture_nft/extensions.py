"""Extensions of x_tables in what the kernel holds: the matches and targets that are known here."""

import struct
from collections.abc import Callable, Mapping
from typing import Final, ParamSpec, TypeVar

from capture_nat.families import Family
from capture_nft.errors import UnknownExpressionError, UnknownExtensionError
from capture_nft.expressions import XtMatch, XtTarget
from capture_nft.packing import pack
from capture_nft.rules import Match
from capture_nft.xt_addrtype import AddressType
from capture_nft.xt_comment import Comment
from capture_nft.xt_conntrack import ConntrackState
from capture_nft.xt_multiport import Multiport
from capture_nft.xt_nat import Nat, NatKind
from capture_nft.xt_owner import Owner

P = ParamSpec("P")
T = TypeVar("T")

_MATCHES: Final[Mapping[tuple[str, int], Callable[[bytes], Match]]] = {
    (Owner.NAME, Owner.REVISION): Owner.of,
    (Multiport.NAME, Multiport.REVISION): Multiport.of,
    (AddressType.NAME, AddressType.REVISION): AddressType.of,
    (ConntrackState.NAME, ConntrackState.REVISION): ConntrackState.of,
}


def decode_match(match: XtMatch) -> Match:
    """Read a match.

    Raises:
        UnknownExtensionError: it is not known here, or has something in it that iptables does not
            write.
    """
    if (match.name, match.revision) == (Comment.NAME, Comment.REVISION):
        return Comment.of(match.info)
    known = _MATCHES.get((match.name, match.revision))
    if known is None:
        raise UnknownExtensionError(f"a match {match.name} that is not known here")
    found = _read(known, match.info)
    if b"".join(map(pack, found.expressions())) != pack(match):
        raise UnknownExtensionError(f"a match {match.name} that iptables does not write")
    return found


def decode_target(target: XtTarget, family: Family) -> Nat:
    """Read a target.

    Raises:
        UnknownExtensionError: as for a match.
    """
    if target.name not in set(NatKind):
        raise UnknownExtensionError(f"a target {target.name} that is not known here")
    nat = _read(Nat.of, target, family)
    if pack(nat.expression(family)) != pack(target):
        raise UnknownExtensionError(f"a target {target.name} that iptables does not write")
    return nat


def _read(reader: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return reader(*args, **kwargs)
    except (struct.error, UnknownExpressionError) as error:
        raise UnknownExtensionError(f"an extension that can't be read: {error}") from error
