"""Notice of every change of nf_tables in a pod's network namespace, as it happens.

The kernel tells the members of a multicast group about each object of a transaction, and then about
the new generation. A filter in the kernel lets only the latter through: one small message per
transaction, whatever its size.

Anybody with NET_ADMIN in the pod can send to the group too; only what the kernel sent counts. The
rest, and what was lost when the pod wrote faster than was read, costs a look at the tables at most.
"""

import errno
import socket
from dataclasses import dataclass
from typing import Final

from capture_agent.socket_filters import (
    JUMP_IF_EQUAL,
    LOAD_HALF,
    RETURN,
    WHOLE,
    as_loaded,
    attach_filter,
    program_of,
)
from capture_nft.generations import Change, change_in
from capture_nft.uapi import NFNLGRP_NFTABLES, MessageType

RECEIVE_BUFFER: Final = 4 << 20
"""Bytes: room for some 10,000 changes that nobody has read yet."""
MAX_CHANGES: Final = 256
"""The most that one `read` gives, so that a pod that never stops writing is not all we do."""

_MAX_DATAGRAM: Final = 4096
_SOL_NETLINK: Final = 270
_NETLINK_ADD_MEMBERSHIP: Final = 1
_SO_RCVBUFFORCE: Final = 33
_TYPE_OFFSET: Final = 4
_KERNEL_PORT: Final = 0
_GENERATIONS_ONLY: Final = program_of(
    (LOAD_HALF, 0, 0, _TYPE_OFFSET),
    (JUMP_IF_EQUAL, 0, 1, as_loaded(MessageType.NEWGEN)),
    (RETURN, 0, 0, WHOLE),
    (RETURN, 0, 0, 0),
)


@dataclass(frozen=True, slots=True)
class Overflow:
    """Changes came faster than they were read, and some are lost: look at everything."""


class NftWatch:
    """Reads changes over a socket that was opened in the pod's network namespace.

    Takes a `NETLINK_NETFILTER` socket and owns it: `close` it with the pod, since an open one keeps
    the pod's network namespace. `fileno` is for an event loop.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.settimeout(0)
        _make_room(sock)
        attach_filter(sock, _GENERATIONS_ONLY)
        sock.bind((0, 0))
        sock.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)

    def fileno(self) -> int:
        """The descriptor that becomes readable with a change."""
        return self._sock.fileno()

    def read(self) -> tuple[Change | Overflow, ...]:
        """What happened since the last call, in order, at most `MAX_CHANGES`; empty if nothing did.

        Raises:
            OSError: the socket is closed or broken.
            MalformedDumpError: the kernel sent something else.
        """
        seen: list[Change | Overflow] = []
        for _ in range(MAX_CHANGES):
            try:
                datagram, (port, _) = self._sock.recvfrom(_MAX_DATAGRAM)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                seen.append(Overflow())
                continue
            if port == _KERNEL_PORT:
                seen.append(change_in(datagram))
        return tuple(seen)

    def close(self) -> None:
        """Let go of the network namespace; may be called again."""
        self._sock.close()


def _make_room(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:  # without NET_ADMIN: as much as net.core.rmem_max allows
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
