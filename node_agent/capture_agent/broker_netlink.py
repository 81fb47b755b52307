"""What the broker reads in a pod's network namespace, over sockets that it closes again."""

import socket
import struct
from typing import Final

from capture_agent.broker_protocol import SocketKind
from capture_agent.broker_sockets import opened_socket
from capture_agent.netlink_requests import listed, payloads
from capture_nft.attributes import spans
from capture_nft.uapi import MessageType

_GET_ADDRESSES: Final = 22
_IFADDRMSG: Final = struct.Struct("=BBBBI")
_IFA_ADDRESS, _IFA_LOCAL = 1, 2

_GET_NF_TABLES: Final = (MessageType.GETTABLE, MessageType.GETCHAIN, MessageType.GETRULE)
_NFGENMSG: Final = struct.Struct("=BBH")


def addresses() -> frozenset[bytes]:
    """List the addresses of this network namespace, both families, in network byte order.

    Raises:
        OSError: they could not be listed.
    """
    with opened_socket(SocketKind.ROUTE) as netlink:
        dump = listed(netlink, _GET_ADDRESSES, _IFADDRMSG.pack(0, 0, 0, 0, 0))
    return frozenset(map(_own_address, payloads(dump)))


def _own_address(message: bytes) -> bytes:
    """Pick the interface's own address: on a point-to-point link, the other one is the peer's."""
    found = {
        kind: message[first:last]
        for kind, first, last in spans(message, _IFADDRMSG.size, len(message))
        if kind in {_IFA_ADDRESS, _IFA_LOCAL}
    }
    return found.get(_IFA_LOCAL) or found[_IFA_ADDRESS]


def nf_tables() -> bytes:
    """Dump the nf_tables tables, chains and rules of this network namespace, as the kernel says it.

    Raises:
        OSError: they are longer than `LONGEST_LIST`, or could not be dumped.
    """
    request = _NFGENMSG.pack(socket.AF_UNSPEC, 0, 0)
    with opened_socket(SocketKind.NETFILTER) as netlink:
        return b"".join(listed(netlink, kind, request) for kind in _GET_NF_TABLES)
