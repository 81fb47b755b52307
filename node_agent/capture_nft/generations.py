"""The generation of a ruleset, and the kernel's notice of each new one."""

import struct
from typing import Final

import msgspec

from capture_nft.attributes import number, text, values
from capture_nft.dumps import messages_of
from capture_nft.errors import MalformedDumpError
from capture_nft.uapi import NF_HEADER, GenerationAttribute, MessageType

_NOTICE: Final = struct.Struct("=4xH14xHH4sHH4s2xH")
"""The type of the message, and its attributes up to the value of the third."""
_NOTICE_FIELDS: Final = (
    MessageType.NEWGEN,
    *(8, GenerationAttribute.ID),
    *(8, GenerationAttribute.PID),
    GenerationAttribute.COMM,
)


class Change(msgspec.Struct, frozen=True):
    """A committed transaction: the generation it made, and who sent it.

    `pid` is 0 and `comm` "" where the kernel does not tell. A process chooses its `comm`: it is a
    hint for a person, not a proof, and anything may be in it.
    """

    generation: int
    pid: int
    comm: str


def change_in(datagram: bytes) -> Change:
    """Read an answer to `get_generation`, or a notice.

    Raises:
        MalformedDumpError: it is neither.
        KernelRefusalError: the kernel answers with an error.
    """
    if len(datagram) >= _NOTICE.size:
        kind, size, first, generation, more, second, pid, third = _NOTICE.unpack_from(datagram)
        if (kind, size, first, more, second, third) == _NOTICE_FIELDS:
            return _change_by(generation, pid, datagram[_NOTICE.size :])
    for kind, start, end in messages_of(datagram):
        if kind == MessageType.NEWGEN:
            return _change(values(datagram, start + NF_HEADER, end))
    raise MalformedDumpError("no generation where one should be")


def _change(attributes: dict[int, bytes]) -> Change:
    if GenerationAttribute.ID not in attributes:
        raise MalformedDumpError("a new generation without its number")
    return _change_by(
        attributes[GenerationAttribute.ID],
        attributes.get(GenerationAttribute.PID, bytes(4)),
        attributes.get(GenerationAttribute.COMM, b""),
    )


def _change_by(generation: bytes, pid: bytes, comm: bytes) -> Change:
    return Change(number(generation), number(pid), text(comm))
