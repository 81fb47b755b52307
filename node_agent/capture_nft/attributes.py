"""Netlink attributes: a length, a type, a value, padded to four bytes."""

import struct
from collections.abc import Iterator
from typing import Final

from capture_nft.errors import MalformedDumpError

_HEADER: Final = struct.Struct("=HH")
_BE32: Final = struct.Struct(">I")
_BE64: Final = struct.Struct(">Q")
_NESTED: Final = 0x8000
_TYPE: Final = 0x3FFF
"""Without the flags "nested" and "big endian"."""


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute with its padding."""
    length = len(value) + _HEADER.size
    return _HEADER.pack(length, kind) + value + bytes(-length & 3)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | _NESTED, b"".join(attributes))


def be32(kind: int, value: int) -> bytes:
    """An attribute with a number of four bytes; a negative one as its complement."""
    return attribute(kind, _BE32.pack(value & 0xFFFFFFFF))


def be64(kind: int, value: int) -> bytes:
    """An attribute with a number of eight bytes."""
    return attribute(kind, _BE64.pack(value))


def string(kind: int, value: str) -> bytes:
    """An attribute with a text and the NUL after it."""
    return attribute(kind, value.encode() + b"\0")


def spans(buffer: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Type, start and end of the value of every attribute between two offsets.

    Raises:
        MalformedDumpError: an attribute is shorter than its header or goes beyond the end.
    """
    while start < end:
        if end - start < _HEADER.size:
            raise MalformedDumpError(f"{end - start} stray bytes where an attribute should be")
        length, kind = _HEADER.unpack_from(buffer, start)
        if not _HEADER.size <= length <= end - start:
            raise MalformedDumpError(f"an attribute of {length} bytes where {end - start} are left")
        yield kind & _TYPE, start + _HEADER.size, start + length
        start += (length + 3) & ~3


def values(buffer: bytes, start: int, end: int) -> dict[int, bytes]:
    """The attributes between two offsets by type; of a repeated one the last, as in the kernel.

    Raises:
        MalformedDumpError: see `spans`.
    """
    return {kind: buffer[first:last] for kind, first, last in spans(buffer, start, end)}


def number(value: bytes) -> int:
    """Read a number of four bytes.

    Raises:
        MalformedDumpError: there are not four bytes.
    """
    if len(value) != _BE32.size:
        raise MalformedDumpError(f"{len(value)} bytes where a number of 4 should be")
    return int.from_bytes(value, "big")


def signed(value: bytes) -> int:
    """Read a number of four bytes that may be negative.

    Raises:
        MalformedDumpError: there are not four bytes.
    """
    number(value)
    return int.from_bytes(value, "big", signed=True)


def long_number(value: bytes) -> int:
    """Read a number of eight bytes.

    Raises:
        MalformedDumpError: there are not eight bytes.
    """
    if len(value) != _BE64.size:
        raise MalformedDumpError(f"{len(value)} bytes where a number of 8 should be")
    return int.from_bytes(value, "big")


def text(value: bytes) -> str:
    r"""Read a text up to its first NUL; a byte that is no UTF-8 becomes `\xNN`."""
    return value.partition(b"\0")[0].decode(errors="backslashreplace")
