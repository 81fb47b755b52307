"""One batch of messages that the kernel does whole or not at all.

The batch begins with the generation that its messages were made for. If the ruleset has changed
since, by whomever, the kernel refuses with ERESTART and nothing is done: that is what keeps another
writer's change from being overwritten unseen.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from capture_nft.attributes import be32, text, values
from capture_nft.messages import message
from capture_nft.uapi import (
    BATCH_GENERATION,
    NF_HEADER,
    NFNL_SUBSYS_NFTABLES,
    NLM_F_ACK,
    NLM_F_EXCL,
    ChainAttribute,
    MessageType,
    NfFamily,
    RuleAttribute,
)

_HEADER: Final = struct.Struct("=IHHI")
_LENGTH: Final = struct.Struct("=I")
_FLAGS_AND_SEQUENCE: Final = struct.Struct("=HI")
_FLAGS_OFFSET: Final = 6
_GENERATION: Final = struct.Struct(">I")
_GENERATION_END: Final = NF_HEADER + 8
_GENERATION_START: Final = _GENERATION_END - _GENERATION.size
_FIRST_SEQUENCE: Final = 1


@dataclass(frozen=True, slots=True)
class Blob:
    """A batch, encoded once for any number of network namespaces."""

    data: bytes
    """The batch, with generation 0 in it."""
    acknowledged: int
    """The sequence number of the last inner message; its acknowledgement means that all is done."""
    changes: bool
    """Whether doing it always makes a new generation; else what it says may be so already."""

    @classmethod
    def of(cls, messages: Sequence[bytes]) -> Self:
        """Frame messages as a batch.

        Raises:
            ValueError: there are none.
        """
        if not messages:
            raise ValueError("a transaction of no messages; there is nothing to commit")
        begin = be32(BATCH_GENERATION, 0)
        framed = [_control(MessageType.BATCH_BEGIN, begin), *messages]
        last = len(messages) + _FIRST_SEQUENCE
        numbered = [
            _numbered(each, number, NLM_F_ACK if number == last else 0)
            for number, each in enumerate(framed, _FIRST_SEQUENCE)
        ]
        end = _numbered(_control(MessageType.BATCH_END), last + 1, 0)
        return cls(b"".join([*numbered, end]), last, any(map(_always_changes, messages)))

    def at(self, generation: int) -> bytes:
        """The batch for a ruleset of this generation, which is never 0.

        Raises:
            ValueError: it is 0, with which the kernel would not check it.
        """
        if not generation:
            raise ValueError("generation 0: read the generation before a transaction")
        number = _GENERATION.pack(generation)
        return self.data[:_GENERATION_START] + number + self.data[_GENERATION_END:]

    def what(self, sequence: int) -> str:
        """What the message of a sequence number was to do, e.g. `NEWRULE ISTIO_OUTPUT`."""
        for start, end in _messages(self.data):
            _, kind, _, number = _HEADER.unpack_from(self.data, start)
            if number == sequence:
                return _description(kind, self.data, start, end)
        return "an unknown message"


def next_generation(generation: int) -> int:
    """The generation after one more change; 0 is left out."""
    return (generation + 1) & 0xFFFFFFFF or 1


def _control(kind: MessageType, *attributes: bytes) -> bytes:
    return message(kind, 0, NfFamily.UNSPEC, *attributes, resource=NFNL_SUBSYS_NFTABLES)


def _numbered(framed: bytes, sequence: int, flags: int) -> bytes:
    fields = _HEADER.unpack_from(framed)
    numbered = _FLAGS_AND_SEQUENCE.pack(fields[2] | flags, sequence)
    return framed[:_FLAGS_OFFSET] + numbered + framed[_FLAGS_OFFSET + len(numbered) :]


def _messages(data: bytes) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(data):
        (length,) = _LENGTH.unpack_from(data, start)
        yield start, start + length
        start += length


def _always_changes(framed: bytes) -> bool:
    _, kind, flags, _ = _HEADER.unpack_from(framed)
    if kind == MessageType.NEWCHAIN:
        return bool(flags & NLM_F_EXCL)
    if kind == MessageType.DELRULE:  # without a handle it flushes, maybe an empty chain
        return RuleAttribute.HANDLE in values(framed, NF_HEADER, len(framed))
    return kind in {MessageType.NEWRULE, MessageType.DELCHAIN}


def _description(kind: int, data: bytes, start: int, end: int) -> str:
    attributes = values(data, start + NF_HEADER, end)
    chained = kind in {MessageType.NEWCHAIN, MessageType.DELCHAIN}
    ruled = kind in {MessageType.NEWRULE, MessageType.DELRULE}
    where = ChainAttribute.NAME if chained else RuleAttribute.CHAIN if ruled else None
    name = [text(attributes[where])] if where in attributes else []
    return " ".join([MessageType(kind).name, *name])
