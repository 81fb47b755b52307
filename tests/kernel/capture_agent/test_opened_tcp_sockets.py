"""A TCP socket that the broker opened for a pod: whoever connects it does so from in there."""

import asyncio
import contextlib
import socket
from functools import partial
from ipaddress import ip_address

import pytest

from capture_agent.broker_client import Broker, OpenedSockets
from capture_agent.broker_protocol import SOCKETS, SocketKind
from capture_nat.families import Family
from kernel.capture_agent.entering import there
from kernel.pods import ADDRESS, ADDRESS6, Pod

IPV4, IPV6 = SocketKind.TCP_IPV4, SocketKind.TCP_IPV6
OF_A_POD = pytest.mark.parametrize(
    ("kind", "address"), [(IPV4, "127.0.0.1"), (IPV4, ADDRESS), (IPV6, "::1"), (IPV6, ADDRESS6)]
)


def listener(kind: SocketKind, port: int = 0) -> socket.socket:
    """Listen on a port of every address of this network namespace."""
    listening = socket.create_server(("", port), family=SOCKETS[kind][0])
    listening.settimeout(0)
    return listening


async def connect(opened: OpenedSockets, address: str, port: int) -> None:
    """Connect the one socket that was opened."""
    (connection,) = opened.sockets
    await asyncio.get_running_loop().sock_connect(connection, (address, port))


async def accepted_by(listening: socket.socket) -> object:
    """Accept a connection and tell the address that it comes from."""
    accept = asyncio.get_running_loop().sock_accept(listening)
    connection, peer = await asyncio.wait_for(accept, 10)
    connection.close()
    return peer


def port_of(listening: socket.socket) -> int:
    """Tell the port."""
    return int(listening.getsockname()[1])


@OF_A_POD
async def test_it_reaches_who_listens_in_the_pod_and_nobody_else(
    broker: Broker, pod: Pod, other_pod: Pod, kind: SocketKind, address: str
) -> None:
    """Though the host and another pod listen on the same port of the same address."""
    with (
        listener(kind) as on_host,
        there(other_pod, partial(listener, kind, port_of(on_host))) as in_other_pod,
        there(pod, partial(listener, kind, port_of(on_host))) as in_pod,
        contextlib.closing(await broker.open(pod.sandbox(), kind)) as opened,
    ):
        await connect(opened, address, port_of(on_host))
        assert await accepted_by(in_pod) == opened.sockets[0].getsockname()
        for listening in (on_host, in_other_pod):
            with pytest.raises(BlockingIOError):
                listening.accept()


@OF_A_POD
async def test_it_is_refused_where_only_others_listen(
    broker: Broker, pod: Pod, other_pod: Pod, kind: SocketKind, address: str
) -> None:
    """Neither the host nor a pod of the same address answers for this one."""
    with (
        listener(kind) as on_host,
        there(other_pod, partial(listener, kind, port_of(on_host))),
        contextlib.closing(await broker.open(pod.sandbox(), kind)) as opened,
        pytest.raises(ConnectionRefusedError),
    ):
        await connect(opened, address, port_of(on_host))


@pytest.mark.parametrize(("kind", "address"), [(IPV4, ADDRESS), (IPV6, ADDRESS6)])
async def test_its_packets_meet_the_pods_own_rules(
    broker: Broker, pod: Pod, kind: SocketKind, address: str
) -> None:
    """As those of a process of user 0 in the pod."""
    tool = "iptables" if ip_address(address).version == Family.IPV4.value else "ip6tables"
    with (
        there(pod, partial(listener, kind)) as proxy,
        contextlib.closing(await broker.open(pod.sandbox(), kind)) as opened,
    ):
        rule = f"-p tcp -m owner --uid-owner 0 -j REDIRECT --to-ports {port_of(proxy)}"
        pod.run(f"{tool}-nft", "-t", "nat", "-A", "OUTPUT", *rule.split())
        await connect(opened, address, 1)
        assert await accepted_by(proxy) == opened.sockets[0].getsockname()
