"""Comments in the user data of chains and rules, where nft keeps them and the kernel ignores them.

User data is a sequence of a type, a length, and that many bytes (libnftnl's `udata`).
"""

from typing import Final

from capture_nft.attributes import text

_COMMENT: Final = 0
_HEADER: Final = 2


def comment_data(comment: str) -> bytes:
    """User data with a comment as `nft add chain … { comment "…" ; }` writes it."""
    value = comment.encode() + b"\0"
    return bytes([_COMMENT, len(value)]) + value


def comment_in(userdata: bytes) -> str | None:
    """The comment in user data, which anybody may have written; None if there is none."""
    while len(userdata) >= _HEADER:
        kind, length = userdata[:_HEADER]
        value, userdata = userdata[_HEADER : _HEADER + length], userdata[_HEADER + length :]
        if kind == _COMMENT and len(value) == length:
            return text(value)
    return None
