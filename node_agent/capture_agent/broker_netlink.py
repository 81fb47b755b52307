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

from capture_agent.broker_protocol import NETLINK_NETFILTER, Chain
from capture_agent.listening import Listener

_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
_TYPE_MASK: Final = 0x3FFF
_REQUEST_DUMP: Final = 0x0301  # NLM_F_REQUEST | NLM_F_DUMP
_INTERRUPTED: Final = 0x10  # NLM_F_DUMP_INTR
_ENDS: Final = frozenset({2, 3})  # NLMSG_ERROR, NLMSG_DONE: both begin with an error number or 0
_NUMBER: Final = struct.Struct("=i")
_BUFFER: Final = 65536  # twice what the kernel puts into one part of a dump
_ATTEMPTS: Final = 5

_GET_ADDRESSES: Final = 22
_IFADDRMSG: Final = struct.Struct("=BBBBI")
_IFA_ADDRESS, _IFA_LOCAL = 1, 2

_GET_CHAINS: Final = 10 << 8 | 4
_NFGENMSG: Final = struct.Struct("=BBH")
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_USERDATA = 1, 3, 12
_COMMENT: Final = 0  # NFTNL_UDATA_CHAIN_COMMENT

_GET_SOCKETS: Final = 20
_DIAG_REQUEST: Final = struct.Struct("=BBBBI48x")
_DIAG_ID: Final = struct.Struct(">4xHH16s")
_TCP_LISTEN: Final = 1 << 10
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


def nat_chains(family: int) -> tuple[Chain, ...]:
    """List the chains of the nf_tables table `nat` of an address family."""
    request = _NFGENMSG.pack(family, 0, 0)
    with _opened(NETLINK_NETFILTER) as netlink:
        messages = _dump(netlink, _GET_CHAINS, request)
    found = (dict(_attributes(message[_NFGENMSG.size :])) for message in messages)
    return tuple(
        Chain(_text(chain[_CHAIN_NAME]), _comment(chain.get(_CHAIN_USERDATA, b"")))
        for chain in found
        if chain[_CHAIN_TABLE] == b"nat\0"
    )


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
    """Ask for a list, again if it changed while it was written; the payload of each message."""
    size = _HEADER.size + len(request)
    for sequence in range(1, _ATTEMPTS + 1):
        netlink.send(_HEADER.pack(size, kind, _REQUEST_DUMP, sequence, 0) + request)
        answers = tuple(_answers(netlink))
        if not any(flags & _INTERRUPTED for _, flags, _ in answers):
            return tuple(payload for answer, _, payload in answers if answer not in _ENDS)
    raise OSError(errno.EINTR, f"it changed during each of {_ATTEMPTS} attempts to list it")


def _answers(netlink: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Read a dump to its end: type, flags and payload of each message."""
    while True:
        part = netlink.recv(_BUFFER)
        offset = 0
        while offset < len(part):
            length, kind, flags, _, _ = _HEADER.unpack_from(part, offset)
            payload = part[offset + _HEADER.size : offset + length]
            if kind in _ENDS:
                _raise_for(payload)
            yield kind, flags, payload
            if kind in _ENDS:
                return
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


def _comment(userdata: bytes) -> str:
    """Read the comment out of a chain's userdata: type, length, value, again and again."""
    while len(userdata) > 1:
        kind, size = userdata[0], userdata[1]
        if kind == _COMMENT:
            return _text(userdata[2 : 2 + size])
        userdata = userdata[2 + size :]
    return ""


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="backslashreplace")
