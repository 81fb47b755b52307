"""Which connections a program would redirect, by what their sockets tell."""

import socket
import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_agent.flows import Address, Flow, Tuple, flow_of, uncaptured
from capture_api.cidrs import Cidr
from capture_api.ports import PortRange
from capture_api.programs import Inbound, InboundTerm, Outbound, OutboundTerm, Program, Proxy

PROGRAM = Program(
    chain_prefix="CAPTURE",
    proxy=Proxy(uids=(1337,), gids=()),
    inbound=Inbound(redirect_port=15006, include=(InboundTerm(ports=(PortRange(80, 80),)),)),
    outbound=Outbound(
        redirect_port=15001,
        exclude=(OutboundTerm(destinations=(Cidr.parse("10.8.0.9/32"),)),),
    ),
)
LISTENING = frozenset({80, 81})
NOTHING: frozenset[Tuple] = frozenset()


def flow(
    local_port: int = 40000, remote: str = "10.8.0.2", *, local: str = "10.8.0.1", uid: int = 0
) -> Flow:
    """Connect a socket to port 443 of somebody."""
    return Flow(ip_address(local), local_port, ip_address(remote), 443, uid, socket.AF_INET, b"")


@pytest.mark.parametrize(
    "found",
    [flow(), flow(uid=1000), flow(80), flow(80, uid=1337), flow(local="fd00::1", remote="fd00::2")],
)
def test_what_the_rules_would_redirect_is_found(found: Flow) -> None:
    """Whoever it belongs to decides only about what the pod began."""
    assert list(uncaptured(PROGRAM, [found], LISTENING, NOTHING)) == [found]


@pytest.mark.parametrize(
    "left",
    [
        flow(uid=1337),
        flow(remote="10.8.0.9"),
        flow(81),
        flow(remote="10.8.0.1"),
        flow(remote="127.0.0.1"),
    ],
    ids=["the proxy's own", "excluded", "not included", "the pod itself", "loopback"],
)
def test_what_the_rules_would_let_pass_is_left(left: Flow) -> None:
    """It goes where it would go anyhow."""
    assert list(uncaptured(PROGRAM, [left], LISTENING, NOTHING)) == []


def test_what_is_redirected_already_is_left() -> None:
    """To its socket it looks like any other connection."""
    assert list(uncaptured(PROGRAM, [flow()], LISTENING, frozenset({flow().sent}))) == []


@given(st.ip_addresses(), st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 2**32 - 2))
def test_a_socket_reads_as_the_kernel_tells_it(
    address: Address, local_port: int, remote_port: int, uid: int
) -> None:
    """Both families have room for an address of IPv6."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    packed = address.packed.ljust(16, b"\0")
    name = struct.pack(">HH16s16sIQ", local_port, remote_port, packed, packed, 0, 7)
    found = flow_of(struct.pack("=BBBB48sIIIII", family, 1, 0, 0, name, 0, 0, 0, uid, 9))
    expected = getattr(address, "ipv4_mapped", None) or address
    assert (found.local, found.remote) == (expected, expected)
    assert (found.local_port, found.remote_port, found.uid) == (local_port, remote_port, uid)
    assert found.socket_id == name


def test_ipv4_over_a_socket_of_ipv6_is_ipv4() -> None:
    """Rules of the other family never see it."""
    mapped = ip_address("::ffff:10.8.0.1").packed
    name = struct.pack(">HH16s16sIQ", 1, 2, mapped, mapped, 0, 7)
    found = flow_of(struct.pack("=BBBB48sIIIII", socket.AF_INET6, 1, 0, 0, name, 0, 0, 0, 0, 9))
    assert found.local == ip_address("10.8.0.1")
