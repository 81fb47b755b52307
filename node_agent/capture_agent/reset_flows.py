"""A program that ends the connections which a capture would redirect if they began now.

The agent runs it in a pod's network namespace, for captures with `establishedConnections: Reset`;
its input is the capture's program. A process of its own, since pyroute2 takes more memory than the
agent has to spare.

A socket is ended where the kernel can do that (INET_DIAG_DESTROY); else connection tracking forgets
the connection, so that its next packet from the pod meets the rules.
"""

import errno
import socket
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from struct import Struct
from typing import Any, Final

import msgspec
from pyroute2 import NFCTSocket
from pyroute2.netlink.nfnetlink.nfctsocket import IPS_DST_NAT, NFCTAttrTuple

from capture_agent.broker_protocol import NETLINK_SOCK_DIAG
from capture_agent.flows import Flow, Tuple, flow_of, uncaptured
from capture_agent.netlink_requests import acknowledged
from capture_agent.tcp_sockets import tcp_connections, tcp_listeners
from capture_api.programs import Program
from capture_api.wire import decode
from capture_nat.families import Family

_DESTROY: Final = 21
_DESTROY_REQUEST: Final = Struct("=BBBBI48s")  # struct inet_diag_req_v2
_ANY_STATE: Final = 0xFFFFFFFF


def main() -> None:
    """End the connections and say how many there were."""
    program = decode(msgspec.json.decode(sys.stdin.read()), Program)
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as sock_diag,
        NFCTSocket(socket.AF_INET) as ipv4,
        NFCTSocket(socket.AF_INET6) as ipv6,
    ):
        listening = frozenset(each.port for each in tcp_listeners(sock_diag))
        redirected = frozenset((*_redirected(ipv4), *_redirected(ipv6)))
        flows = map(flow_of, tcp_connections(sock_diag))
        found = tuple(uncaptured(program, flows, listening, redirected))
        for flow in found:
            _end(flow, sock_diag, ipv4 if flow.local.version == Family.IPV4.value else ipv6)
    sys.stdout.write(f"{len(found)}\n")


def _end(flow: Flow, sock_diag: socket.socket, conntrack: NFCTSocket) -> None:
    request = _DESTROY_REQUEST.pack(
        flow.socket_family, socket.IPPROTO_TCP, 0, 0, _ANY_STATE, flow.socket_id
    )
    try:
        acknowledged(sock_diag, _DESTROY, 0, request)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            _forget(flow, conntrack)
        elif error.errno != errno.ENOENT:  # it has ended by itself
            raise


def _forget(flow: Flow, conntrack: NFCTSocket) -> None:
    source, source_port, destination, destination_port = flow.sent
    try:
        conntrack.entry(
            "del",
            tuple_orig=NFCTAttrTuple(
                family=socket.AF_INET if source.version == Family.IPV4.value else socket.AF_INET6,
                saddr=str(source),
                daddr=str(destination),
                proto=socket.IPPROTO_TCP,
                sport=source_port,
                dport=destination_port,
            ),
        )
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def _redirected(conntrack: NFCTSocket) -> Iterator[Tuple]:
    """Both directions of each connection whose destination is rewritten."""
    for entry in conntrack.dump():
        if (entry.get_attr("CTA_STATUS") or 0) & IPS_DST_NAT:
            for direction in ("CTA_TUPLE_ORIG", "CTA_TUPLE_REPLY"):
                there = _tuple(entry.get_attr(direction))
                yield there
                yield (*there[2:], *there[:2])


def _tuple(direction: Any) -> Tuple:  # noqa: ANN401 - pyroute2 has no types
    ip, proto = direction.get_attr("CTA_TUPLE_IP"), direction.get_attr("CTA_TUPLE_PROTO")
    return (
        ip_address(ip.get_attr("CTA_IP_V4_SRC") or ip.get_attr("CTA_IP_V6_SRC")),
        proto.get_attr("CTA_PROTO_SRC_PORT") or 0,
        ip_address(ip.get_attr("CTA_IP_V4_DST") or ip.get_attr("CTA_IP_V6_DST")),
        proto.get_attr("CTA_PROTO_DST_PORT") or 0,
    )


if __name__ == "__main__":
    main()
