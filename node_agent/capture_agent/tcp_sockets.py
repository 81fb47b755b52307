"""The TCP sockets of a pod, asked for over a sock_diag socket that is held there.

Numbers are those of linux/inet_diag.h.
"""

import socket
import struct
from collections.abc import Iterator
from typing import Final

from capture_agent.listening import Listener
from capture_agent.netlink_requests import listed, payloads

_GET_SOCKETS: Final = 20
_DIAG_REQUEST: Final = struct.Struct("=BBBBI48x")
_DIAG_ID: Final = struct.Struct(">4xHH16s")
_LISTEN: Final = 1 << 10
_CONNECTED: Final = sum(1 << state for state in (1, 2, 3, 4, 5, 8, 9, 11))
"""Every state but TIME_WAIT, CLOSE and LISTEN: there is a socket, and a peer."""
_ADDRESS_SIZE: Final = {socket.AF_INET: 4, socket.AF_INET6: 16}


def tcp_listeners(sock_diag: socket.socket) -> tuple[Listener, ...]:
    """List the TCP sockets in LISTEN state of both families.

    Args:
        sock_diag: a NETLINK_SOCK_DIAG socket, for the network namespace that it was opened in.

    Raises:
        OSError: they could not be listed.
    """
    return tuple(
        _listener(message, family)
        for family in _ADDRESS_SIZE
        for message in _sockets(sock_diag, family, _LISTEN)
    )


def tcp_connections(sock_diag: socket.socket) -> tuple[bytes, ...]:
    """List the TCP sockets of both families that have a peer, each as a `struct inet_diag_msg`.

    Raises:
        OSError: they could not be listed.
    """
    return tuple(
        message for family in _ADDRESS_SIZE for message in _sockets(sock_diag, family, _CONNECTED)
    )


def _sockets(
    sock_diag: socket.socket, family: socket.AddressFamily, states: int
) -> Iterator[bytes]:
    request = _DIAG_REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, states)
    return payloads(listed(sock_diag, _GET_SOCKETS, request))


def _listener(message: bytes, family: socket.AddressFamily) -> Listener:
    port, _, source = _DIAG_ID.unpack_from(message)
    return Listener(socket.inet_ntop(family, source[: _ADDRESS_SIZE[family]]), port)
