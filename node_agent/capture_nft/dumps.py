"""The messages of a dump: what nf_tables answers to `dump_tables`, `dump_chains`, `dump_rules`."""

import struct
from collections.abc import Iterator
from typing import Final

from capture_nft.errors import DumpInterruptedError, KernelRefusalError, MalformedDumpError
from capture_nft.uapi import (
    MESSAGE_HEADER,
    NF_HEADER,
    NLM_F_APPEND,
    NLM_F_DUMP_INTR,
    NLM_F_MULTI,
    RESOURCE,
    MessageType,
)

_HEADER: Final = struct.Struct("=IHH")
_RESULT: Final = struct.Struct("=i")
_RESULTS: Final = frozenset({MessageType.ERROR, MessageType.DONE})
_DONE_SIZE: Final = MESSAGE_HEADER + _RESULT.size
_DONE: Final = struct.pack("=IH", _DONE_SIZE, MessageType.DONE)
_LAST: Final = slice(-_DONE_SIZE, -_DONE_SIZE + len(_DONE))
_USUAL_DONE: Final = struct.pack("=IHH", _DONE_SIZE, MessageType.DONE, NLM_F_MULTI)
_USUAL_CONTENT: Final = frozenset(
    struct.pack("=HH", kind, flags)
    for kind, flags in (
        (MessageType.NEWTABLE, NLM_F_MULTI),
        (MessageType.NEWCHAIN, NLM_F_MULTI),
        (MessageType.NEWRULE, NLM_F_MULTI | NLM_F_APPEND),
    )
)
_KIND_AND_FLAGS: Final = slice(4, 8)
_END: Final = b"", True, False
_SUCCESS: Final = bytes(_RESULT.size)


def part_of(datagram: bytes) -> tuple[bytes, bool, bool]:
    """Split a datagram of a dump.

    The kernel sends the DONE at the end alone. Should it once come behind content, the last bytes
    do not decide: they are a rule's, and anybody can make those look like a DONE. It takes each
    datagram's content at one instant, so the first message tells whether somebody wrote before.

    Returns:
        Its content, whether the dump ends with it, and whether the ruleset changed between this
        datagram and the one before it.

    Raises:
        MalformedDumpError: it begins with no message.
        KernelRefusalError: the kernel reports an error in place of content.
    """
    if len(datagram) == _DONE_SIZE and datagram.startswith(_USUAL_DONE):
        if datagram.endswith(_SUCCESS):
            return _END
    elif datagram[_KIND_AND_FLAGS] in _USUAL_CONTENT and datagram[_LAST] != _DONE:
        return datagram, False, False
    if len(datagram) < MESSAGE_HEADER:
        raise MalformedDumpError(f"a datagram of {len(datagram)} bytes")
    _, _, flags = _HEADER.unpack_from(datagram)
    is_interrupted = bool(flags & NLM_F_DUMP_INTR)
    content, ended = _split(datagram)
    return content, ended, is_interrupted


def _split(datagram: bytes) -> tuple[bytes, bool]:
    for start, kind, length, _ in _headers(datagram):
        if kind in _RESULTS:
            _check(datagram, start, length)
            return datagram[:start], True
    return datagram, False


def is_of_generation(dump: bytes, generation: int) -> bool:
    """Whether a dump tells that it was begun at a generation; an empty one tells nothing.

    Its messages have the lower half of the number, which takes 65,536 changes to come again.
    """
    return dump[RESOURCE] == (generation & 0xFFFF).to_bytes(2, "big")


def messages_of(dump: bytes) -> Iterator[tuple[int, int, int]]:
    """Type, start and end of every message with content; a DONE ends a dump, and more may follow.

    Raises:
        MalformedDumpError: a message is cut off, or too short for what it says it is.
        DumpInterruptedError: the ruleset changed in between.
        KernelRefusalError: the kernel reports an error in place of content.
    """
    for start, kind, length, flags in _headers(dump):
        if flags & NLM_F_DUMP_INTR:
            raise DumpInterruptedError("the ruleset changed while it was dumped; dump it again")
        if kind in _RESULTS:
            _check(dump, start, length)
        elif length < NF_HEADER:
            raise MalformedDumpError(f"a message of {length} bytes and type {kind:#x}")
        else:
            yield kind, start, start + length


def _headers(dump: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Start, type, length and flags of every message."""
    start, size = 0, len(dump)
    while start < size:
        if size - start < MESSAGE_HEADER:
            raise MalformedDumpError(f"{size - start} stray bytes where a message should be")
        length, kind, flags = _HEADER.unpack_from(dump, start)
        if not MESSAGE_HEADER <= length <= size - start:
            raise MalformedDumpError(f"a message of {length} bytes where {size - start} are left")
        yield start, kind, length, flags
        start += (length + 3) & ~3


def _check(dump: bytes, start: int, length: int) -> None:
    if length < MESSAGE_HEADER + _RESULT.size:
        raise MalformedDumpError(f"an error or end of {length} bytes")
    (result,) = _RESULT.unpack_from(dump, start + MESSAGE_HEADER)
    if result < 0:
        raise KernelRefusalError(-result, f"the kernel refuses to dump: errno {-result}")
