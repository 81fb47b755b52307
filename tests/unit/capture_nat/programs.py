"""Programs and packets for property tests, drawn from few values so that they meet often."""

from ipaddress import ip_address
from typing import TypeVar

from hypothesis import strategies as st

from capture_api.cidrs import Cidr
from capture_api.interfaces import InterfaceName
from capture_api.owners import IdRange
from capture_api.ports import PortRange
from capture_api.programs import (
    Dns,
    Inbound,
    InboundTerm,
    Loopback,
    Outbound,
    OutboundTerm,
    Program,
)
from capture_api.programs import Proxy as ProxyIds
from capture_nat.walk import Packet

REFERENCE_PROGRAM = Program(
    chain_prefix="ISTIO",
    inbound=Inbound(redirect_port=15001, include=(InboundTerm(ports=(PortRange(80, 80),)),)),
    outbound=Outbound(redirect_port=15001, loopback=Loopback.REDIRECT),
)

_CIDRS = (
    "0.0.0.0/0",
    "0.0.0.0/32",
    "10.0.0.0/8",
    "10.1.0.0/17",
    "10.1.2.3/32",
    "127.0.0.0/8",
    "127.0.0.1/32",
    "::/0",
    "::/128",
    "::1/128",
    "::1:0/128",
    "::10.1.2.3/128",
    "fd00::/8",
    "fd00:1::/33",
    "2001:db8:0:1:0:1:0:1/128",
)
_ADDRESSES = {
    4: ("10.1.2.3", "10.1.200.1", "10.2.0.1", "127.0.0.1", "127.0.0.2", "192.0.2.1"),
    6: ("::1", "::2", "::10.1.2.3", "fd00::1", "fd00:1::1", "2001:db8:0:1:0:1:0:1"),
}
_PORTS = (1, 53, 79, 80, 81, 443, 8000, 8050, 65535)
_IDS = (0, 1337, 1338, 4294967294)

cidrs = st.sampled_from(_CIDRS).map(Cidr.parse)
port_ranges = st.lists(st.sampled_from(_PORTS), min_size=2, max_size=2).map(
    lambda ends: PortRange(min(ends), max(ends))
)
id_ranges = st.lists(st.sampled_from((*_IDS, 1000)), min_size=2, max_size=2).map(
    lambda ends: IdRange(min(ends), max(ends))
)
interfaces = st.sampled_from(("eth0", "lo", "net1.100", "a_very-long.nam")).map(InterfaceName)

T = TypeVar("T")


def _few(values: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(values, max_size=2).map(tuple)


_inbound_terms = st.builds(
    InboundTerm, ports=_few(port_ranges), sources=_few(cidrs), interfaces=_few(interfaces)
)
_outbound_terms = st.builds(
    OutboundTerm,
    ports=_few(port_ranges),
    destinations=_few(cidrs),
    uids=_few(id_ranges),
    gids=_few(id_ranges),
)
_inbounds = st.builds(
    Inbound,
    redirect_port=st.sampled_from((15001, 15006)),
    include=_few(_inbound_terms),
    exclude=_few(_inbound_terms),
)


_dns = st.builds(Dns, redirect_port=st.just(15053), servers=_few(cidrs))


def _outbounds(loopbacks: list[Loopback]) -> st.SearchStrategy[Outbound]:
    return st.builds(
        Outbound,
        redirect_port=st.sampled_from((15001, 15002)),
        include=_few(_outbound_terms),
        exclude=_few(_outbound_terms),
        loopback=st.sampled_from(loopbacks),
    )


@st.composite
def programs(draw: st.DrawFn, prefixes: tuple[str, ...] = ("CAPTURE",)) -> Program:
    """Any program that can be enforced."""
    inbound = draw(st.none() | _inbounds)
    outbound = draw(
        _outbounds(list(Loopback)) | st.none()
        if inbound
        else _outbounds([Loopback.BYPASS, Loopback.REDIRECT])
    )
    return Program(
        chain_prefix=draw(st.sampled_from(prefixes)),
        proxy=ProxyIds(
            uids=draw(_few(st.sampled_from(_IDS))), gids=draw(_few(st.sampled_from(_IDS)))
        ),
        inbound=inbound,
        outbound=outbound,
        dns=draw(st.none() | _dns),
    )


def _packets(version: int, *, sent: bool) -> st.SearchStrategy[Packet]:
    addresses = st.sampled_from(_ADDRESSES[version]).map(ip_address)
    interfaces = st.sampled_from(("lo", "eth0"))
    owners = st.sampled_from((*_IDS, 1000)) if sent else st.none()
    return st.builds(
        Packet,
        source=addresses,
        destination=addresses,
        dport=st.sampled_from(_PORTS),
        protocol=st.sampled_from(("tcp", "tcp", "udp", "icmp")),
        in_interface=st.just("") if sent else interfaces,
        out_interface=interfaces if sent else st.just(""),
        uid=owners,
        gid=owners,
    )


def packets_sent(version: int) -> st.SearchStrategy[Packet]:
    """Packets that a process of the pod sends, as OUTPUT sees them."""
    return _packets(version, sent=True)


def packets_received(version: int) -> st.SearchStrategy[Packet]:
    """Packets that reach the pod, as PREROUTING sees them."""
    return _packets(version, sent=False)
