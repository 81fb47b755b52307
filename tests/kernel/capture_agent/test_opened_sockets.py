"""Sockets that the broker opened in a pod's network namespace, used from outside of it."""

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from capture_agent.broker_client import Broker, SandboxRefusedError
from capture_agent.broker_protocol import (
    LEGACY_LISTS,
    SOCKETS,
    Refusal,
    SocketKind,
)
from capture_agent.broker_sockets import close_all, open_all
from capture_agent.legacy_tables import LISTS, LegacyTables
from capture_agent.processes import netns_of
from capture_nat.families import Family
from kernel.capture_agent.cables import cable_to_be_gone
from kernel.pods import ADDRESS, ADDRESS6, MOVING, Pod, started_pod

_SIOCGSKNS = 0x894C
_DUMP = 0x301
_DONE = 3
_GET_CHAINS = 10 << 8 | 4
_GET_LINKS = 18


@contextlib.contextmanager
def namespace_of(opened: socket.socket) -> Iterator[os.stat_result]:
    """Ask the kernel which network namespace a socket is in."""
    namespace = fcntl.ioctl(opened, _SIOCGSKNS)
    try:
        yield os.fstat(namespace)
    finally:
        os.close(namespace)


def dump(opened: socket.socket, kind: int, body: bytes) -> bytes:
    """Ask for a list and read it, as the agent does: the answers are there at once."""
    opened.send(struct.pack("=IHHII", 16 + len(body), kind, _DUMP, 1, 0) + body)
    parts = [opened.recv(65536)]
    while struct.unpack_from("=IH", parts[-1])[1] != _DONE:
        parts.append(opened.recv(65536))
    return b"".join(parts)


async def test_a_socket_is_in_the_pods_namespace_and_the_agent_is_not(
    broker: Broker, pod: Pod, other_pod: Pod
) -> None:
    """What it lists is what the pod has, and not what its neighbour has."""
    pod.run("nft", "add table ip nat; add chain ip nat MINE")
    other_pod.run("nft", "add table ip nat; add chain ip nat THEIRS")
    home = netns_of(os.getpid())
    opened = await broker.open(pod.sandbox(), SocketKind.NETFILTER)
    with contextlib.closing(opened):
        chains = dump(opened.sockets[0], _GET_CHAINS, struct.pack("=BBH", socket.AF_INET, 0, 0))
    assert b"MINE\0" in chains
    assert b"THEIRS\0" not in chains
    assert netns_of(os.getpid()) == home


async def test_every_kind_of_socket_is_bound_to_the_pods_namespace(
    broker: Broker, pod: Pod
) -> None:
    """And can be used: links are listed, and `lo` is one."""
    kinds = tuple(SOCKETS)
    sandbox = pod.sandbox()
    opened = await broker.open(sandbox, *kinds)
    with contextlib.closing(opened):
        for descriptor in opened.sockets:
            with namespace_of(descriptor) as namespace:
                assert namespace.st_ino == sandbox.netns.inode
        route = opened.sockets[kinds.index(SocketKind.ROUTE)]
        assert b"lo\0" in dump(route, _GET_LINKS, bytes(16))
    assert opened.own_user_namespace is False
    assert opened.legacy_lists == {}


async def test_what_is_opened_survives_no_exec_and_does_not_block(broker: Broker, pod: Pod) -> None:
    """A program that the agent runs has none of it, and no pod can make the agent wait."""
    opened = await broker.open(pod.sandbox(), *SocketKind)
    with contextlib.closing(opened):
        sockets = (item.fileno() for item in opened.sockets)
        for descriptor in (*sockets, *opened.legacy_lists.values()):
            assert not os.get_inheritable(descriptor)
        for each in opened.sockets:
            assert not os.get_blocking(each.fileno())
            assert not each.getblocking()


async def test_the_pods_legacy_tables_are_listed_without_entering(
    broker: Broker, pod: Pod, other_pod: Pod
) -> None:
    """From the list that was opened before there was a table."""
    opened = await broker.open(pod.sandbox(), *LEGACY_LISTS)
    with contextlib.closing(opened):
        legacy = LegacyTables(opened.legacy_lists)
        assert not legacy.are_outdated
        other_pod.run("iptables-legacy", "-t", "nat", "-L")
        assert not legacy.has_nat(Family.IPV4)
        pod.run("iptables-legacy", "-t", "nat", "-L")
        assert legacy.has_nat(Family.IPV4)
        assert not legacy.has_nat(Family.IPV6)


def test_a_kernel_without_legacy_tables_has_no_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is no failure: the sockets are opened all the same."""
    for family in Family:
        monkeypatch.setitem(cast("dict[Family, str]", LISTS), family, "not_in_this_kernel")
    descriptors, absent = open_all(SocketKind)
    close_all(descriptors)
    assert set(absent) == set(LEGACY_LISTS)
    assert len(descriptors) == len(SOCKETS)


def test_what_was_opened_is_closed_when_something_else_can_not_be() -> None:
    """What is yet to be handed out, too."""
    own = Path("/proc/self/fd")
    before = list(own.iterdir())
    with pytest.raises(KeyError):
        open_all([SocketKind.LEGACY_IPV4, cast("SocketKind", "Nothing"), SocketKind.LEGACY_IPV6])
    assert list(own.iterdir()) == before


async def test_a_namespace_is_held_until_its_sockets_are_closed(
    broker: Broker, other_pod: Pod
) -> None:
    """Its end of a cable stays with the last socket, and goes with it."""
    with started_pod() as pod:
        there = ["type", "veth", "peer", "cable", "netns", str(other_pod.pid)]
        pod.run("ip", "link", "add", "cable", *there)
        opened = await broker.open(pod.sandbox(), *SocketKind)
        with cable_to_be_gone(other_pod):
            pod.kill()
            assert "cable" in other_pod.run("ip", "link")
            opened.close()


def gone(pod: Pod) -> None:
    """End a pod between discovery and entry."""
    pod.kill()


def moved(pod: Pod) -> None:
    """Have a pod's process leave its namespace by itself."""
    assert pod.process.stdin
    pod.process.stdin.write("move\n")
    pod.tell("moved")


@pytest.mark.parametrize(
    ("happens", "refusal"), [(gone, Refusal.SANDBOX_GONE), (moved, Refusal.SANDBOX_CHANGED)]
)
async def test_nothing_is_opened_in_a_sandbox_that_is_no_longer_the_claimed_one(
    broker: Broker, happens: Callable[[Pod], None], refusal: Refusal
) -> None:
    """The same as for steps."""
    with started_pod(MOVING) as pod:
        sandbox = pod.sandbox()
        happens(pod)
        with pytest.raises(SandboxRefusedError) as raised:
            await broker.open(sandbox, *SocketKind)
    assert raised.value.refusal is refusal


async def test_nothing_is_opened_in_the_hosts_namespace(broker: Broker) -> None:
    """Not even for a pod that is there, with its address."""
    with started_pod(own_netns=False) as pod, pytest.raises(SandboxRefusedError) as raised:
        await broker.open(pod.sandbox("127.0.0.1"), *SocketKind)
    assert raised.value.refusal is Refusal.HOST_NETWORK


async def test_a_starting_pods_addresses_may_be_unknown(broker: Broker, pod: Pod) -> None:
    """When that is said; they are told then, and everything else is verified all the same."""
    starting = replace(pod.sandbox(), pod_ips=(), addresses_unknown=True)
    (await broker.open(starting, SocketKind.NETFILTER)).close()
    there = ("127.0.0.1", "::1", ADDRESS, ADDRESS6)
    assert set(await broker.addresses(starting)) == {ip_address(each).packed for each in there}
    assert await broker.addresses(pod.sandbox()) == ()
    for false in (
        replace(starting, start_time=1),
        replace(starting, pod_uid="another"),
        replace(starting, netns=replace(starting.netns, inode=1)),
    ):
        with pytest.raises(SandboxRefusedError) as raised:
            await broker.open(false, SocketKind.NETFILTER)
        assert raised.value.refusal is Refusal.SANDBOX_CHANGED


async def test_more_descriptors_than_a_message_carries_are_refused(
    broker: Broker, pod: Pod
) -> None:
    """And the broker stays."""
    with pytest.raises(SandboxRefusedError, match="more than"):
        await broker.open(pod.sandbox(), *[SocketKind.NETFILTER] * 17)
    (await broker.open(pod.sandbox(), *[SocketKind.NETFILTER] * 16)).close()
    assert broker.starts == 1
