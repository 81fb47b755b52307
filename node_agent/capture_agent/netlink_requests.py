"""Asking the kernel over a netlink socket of any protocol: for a list, or to do something.

By hand, because it is asked at every entry into a pod: a general library takes ten times as long
for it, and twice the broker's memory. nf_tables that are to be written have a channel of their own
(`nft_channel`).
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

from capture_nft.dumps import messages_of, part_of
from capture_nft.errors import KernelRefusalError, NftError
from capture_nft.replies import replies_in
from capture_nft.uapi import MESSAGE_HEADER, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST

LONGEST_LIST: Final = 16 << 20
"""Bytes; whoever is root in a pod decides how long it is."""

_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_BUFFER: Final = 65536  # twice what the kernel puts into one part of a dump
_ATTEMPTS: Final = 5


def listed(netlink: socket.socket, kind: int, request: bytes) -> bytes:
    """Ask for a list, again if it changed while it was written: its messages as they came.

    Args:
        netlink: a socket to the kernel.
        kind: the type of the request.
        request: what follows the header.

    Raises:
        OSError: the kernel refused, or the list is longer than `LONGEST_LIST`.
    """
    for sequence in range(1, _ATTEMPTS + 1):
        _send(netlink, kind, NLM_F_DUMP, sequence, request)
        dump, is_whole = _dump(netlink)
        if is_whole:
            return dump
    raise OSError(errno.EINTR, f"it changed during each of {_ATTEMPTS} attempts to list it")


def payloads(dump: bytes) -> Iterator[bytes]:
    """Give what follows the header in each message of a list."""
    for _, start, end in messages_of(dump):
        yield dump[start + MESSAGE_HEADER : end]


def acknowledged(netlink: socket.socket, kind: int, flags: int, payload: bytes) -> None:
    """Send one message and wait for the kernel's word on it.

    Raises:
        OSError: the kernel refused it.
    """
    _send(netlink, kind, NLM_F_ACK | flags, 1, payload)
    for reply in replies_in(netlink.recv(_BUFFER)):
        if reply.error:
            raise OSError(reply.error, os.strerror(reply.error))


def _send(netlink: socket.socket, kind: int, flags: int, sequence: int, payload: bytes) -> None:
    size = _HEADER.size + len(payload)
    netlink.send(_HEADER.pack(size, kind, NLM_F_REQUEST | flags, sequence, 0) + payload)


def _dump(netlink: socket.socket) -> tuple[bytes, bool]:
    """Read a list to its end, and whether nobody changed it in between."""
    parts: list[bytes] = []
    size, is_whole, ended = 0, True, False
    while not ended:
        part, ended, is_interrupted = _split(netlink.recv(_BUFFER))
        is_whole = is_whole and not is_interrupted
        parts.append(part)
        size += len(part)
        if size > LONGEST_LIST:
            raise OSError(errno.EFBIG, f"a list of more than {LONGEST_LIST} bytes")
    return b"".join(parts), is_whole


def _split(datagram: bytes) -> tuple[bytes, bool, bool]:
    try:
        return part_of(datagram)
    except KernelRefusalError as error:
        raise OSError(error.errno, os.strerror(error.errno)) from error
    except NftError as error:
        raise OSError(errno.EBADMSG, str(error)) from error
