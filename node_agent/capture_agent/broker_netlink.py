"""What the broker asks a pod's kernel over netlink, in a few dozen bytes each way.

By hand, because it is asked at every entry: a general library takes ten times as long for it, and
twice the broker's memory. Numbers are those of linux/rtnetlink.h, linux/netfilter/nf_tables.h and
linux/inet_diag.h.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

from capture_agent.broker_protocol import NETLINK_NETFILTER
from capture_agent.listening import Listener

_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
_TYPE_MASK: Final = 0x3FFF
_REQUEST_DUMP: Final = 0x0301  # NLM_F_REQUEST | NLM_F_DUMP
_REQUEST_ACK: Final = 0x0005  # NLM_F_REQUEST | NLM_F_ACK
_INTERRUPTED: Final = 0x10  # NLM_F_DUMP_INTR
_ENDS: Final = frozenset({2, 3})  # NLMSG_ERROR, NLMSG_DONE: both begin with an error number or 0
_NUMBER: Final = struct.Struct("=i")
_BUFFER: Final = 65536  # twice what the kernel puts into one part of a dump
_ATTEMPTS: Final = 5

_GET_ADDRESSES: Final = 22
_IFADDRMSG: Final = struct.Struct("=BBBBI")
_IFA_ADDRESS, _IFA_LOCAL = 1, 2

_GET_NF_TABLES: Final = tuple(10 << 8 | kind for kind in (1, 4, 7))  # tables, chains, rules
_NFGENMSG: Final = struct.Struct("=BBH")
MAX_DUMP: Final = 16 << 20
"""Bytes of one list; whoever is root in a pod decides how long it is."""

_GET_SOCKETS: Final = 20
_DIAG_REQUEST: Final = struct.Struct("=BBBBI48x")
_DIAG_ID: Final = struct.Struct(">4xHH16s")
_TCP_LISTEN: Final = 1 << 10
_TCP_CONNECTED: Final = sum(1 << state for state in (1, 2, 3, 4, 5, 8, 9, 11))
"""Every state but TIME_WAIT, CLOSE and LISTEN: there is a socket, and a peer."""
_ADDRESS_SIZE: Final = {socket.AF_INET: 4, socket.AF_INET6: 16}


def addresses() -> frozenset[bytes]:
    """List the addresses of this network namespace, both families, in network byte order."""
    request = _IFADDRMSG.pack(0, 0, 0, 0, 0)
    with _opened(socket.NETLINK_ROUTE) as netlink:
        return frozenset(
            value
            for message in _dump(netlink, _GET_ADDRESSES, request)
            for kind, value in _attributes(message[_IFADDRMSG.size :])
            if kind in {_IFA_ADDRESS, _IFA_LOCAL}
        )


def nf_tables() -> bytes:
    """Dump the nf_tables tables, chains and rules of this network namespace, as the kernel says it.

    Raises:
        OSError: they are larger than `MAX_DUMP`, or could not be dumped.
    """
    request = _NFGENMSG.pack(socket.AF_UNSPEC, 0, 0)
    with _opened(NETLINK_NETFILTER) as netlink:
        return b"".join(_raw_dump(netlink, kind, request) for kind in _GET_NF_TABLES)


def tcp_listeners(sock_diag: socket.socket) -> tuple[Listener, ...]:
    """List the TCP sockets in LISTEN state of both families.

    Args:
        sock_diag: a NETLINK_SOCK_DIAG socket, for the network namespace that it was opened in.

    Raises:
        OSError: they could not be listed.
    """
    return tuple(
        listener
        for family, size in _ADDRESS_SIZE.items()
        for listener in _listeners(sock_diag, family, size)
    )


def tcp_connections(sock_diag: socket.socket) -> tuple[bytes, ...]:
    """List the TCP sockets of both families that have a peer, each as a `struct inet_diag_msg`.

    Raises:
        OSError: they could not be listed.
    """
    return tuple(
        message
        for family in _ADDRESS_SIZE
        for message in _dump(
            sock_diag,
            _GET_SOCKETS,
            _DIAG_REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _TCP_CONNECTED),
        )
    )


def acknowledged(netlink: socket.socket, kind: int, flags: int, payload: bytes) -> None:
    """Send one message and wait for the kernel's word on it.

    Raises:
        OSError: the kernel refused it.
    """
    size = _HEADER.size + len(payload)
    netlink.send(_HEADER.pack(size, kind, _REQUEST_ACK | flags, 1, 0) + payload)
    for _, _, answer in _messages(netlink.recv(_BUFFER)):
        _raise_for(answer)


def _listeners(
    sock_diag: socket.socket, family: socket.AddressFamily, size: int
) -> Iterator[Listener]:
    request = _DIAG_REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _TCP_LISTEN)
    for message in _dump(sock_diag, _GET_SOCKETS, request):
        port, _, source = _DIAG_ID.unpack_from(message)
        yield Listener(socket.inet_ntop(family, source[:size]), port)


def _opened(protocol: int) -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)


def _dump(netlink: socket.socket, kind: int, request: bytes) -> tuple[bytes, ...]:
    """Ask for a list; the payload of each message."""
    dump = _raw_dump(netlink, kind, request)
    return tuple(payload for answer, _, payload in _messages(dump) if answer not in _ENDS)


def _raw_dump(netlink: socket.socket, kind: int, request: bytes) -> bytes:
    """Ask for a list, again if it changed while it was written."""
    size = _HEADER.size + len(request)
    for sequence in range(1, _ATTEMPTS + 1):
        netlink.send(_HEADER.pack(size, kind, _REQUEST_DUMP, sequence, 0) + request)
        parts, was_interrupted = _answer(netlink)
        if not was_interrupted:
            return b"".join(parts)
    raise OSError(errno.EINTR, f"it changed during each of {_ATTEMPTS} attempts to list it")


def _answer(netlink: socket.socket) -> tuple[list[bytes], bool]:
    """Read a dump to its end: its parts, and whether it changed in between."""
    parts: list[bytes] = []
    was_interrupted, size = False, 0
    while True:
        part = netlink.recv(_BUFFER)
        parts.append(part)
        size += len(part)
        if size > MAX_DUMP:
            raise OSError(errno.EFBIG, f"a list of more than {MAX_DUMP} bytes")
        for kind, flags, payload in _messages(part):
            was_interrupted |= bool(flags & _INTERRUPTED)
            if kind in _ENDS:
                _raise_for(payload)
                return parts, was_interrupted


def _messages(dump: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Split a dump: type, flags and payload of each message."""
    offset = 0
    while offset < len(dump):
        length, kind, flags, _, _ = _HEADER.unpack_from(dump, offset)
        yield kind, flags, dump[offset + _HEADER.size : offset + length]
        offset += _aligned(length)


def _raise_for(payload: bytes) -> None:
    (number,) = _NUMBER.unpack_from(payload)
    if number < 0:
        raise OSError(-number, os.strerror(-number))


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        yield kind & _TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + length]
        offset += _aligned(length)


def _aligned(length: int) -> int:
    return length + 3 & ~3
