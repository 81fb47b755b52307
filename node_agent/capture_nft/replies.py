"""What the kernel answers to a batch: which message it refuses, or that all is done."""

import errno
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from capture_nft.errors import MalformedDumpError
from capture_nft.uapi import MESSAGE_HEADER, MessageType

_ERROR: Final = struct.Struct("=IHHIIi")
_LENGTH: Final = struct.Struct("=I")


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of the message of a sequence number: 0, or what `errno` calls it."""

    sequence: int
    error: int


def replies_in(datagram: bytes) -> Iterable[Reply]:
    """Read the answers in a datagram; other messages are passed over.

    Raises:
        MalformedDumpError: a message is cut off.
    """
    start = 0
    while start < len(datagram):
        if len(datagram) - start < MESSAGE_HEADER:
            raise MalformedDumpError(f"{len(datagram) - start} stray bytes among the answers")
        (length,) = _LENGTH.unpack_from(datagram, start)
        if not MESSAGE_HEADER <= length <= len(datagram) - start:
            raise MalformedDumpError(f"an answer of {length} bytes")
        if length >= _ERROR.size:
            _, kind, _, sequence, _, result = _ERROR.unpack_from(datagram, start)
            if kind == MessageType.ERROR:
                yield Reply(sequence, -result)
        start += (length + 3) & ~3


def error_name(number: int) -> str:
    """The name of an error, e.g. `ENOENT`."""
    if number == errno.EOPNOTSUPP:  # the table has the C library's other name for it
        return "EOPNOTSUPP"
    return errno.errorcode.get(number, f"errno {number}")
