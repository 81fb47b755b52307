"""Every change is noticed, with its author, and nothing that the kernel did not say."""

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from capture_agent.nft_watch import MAX_CHANGES, NftWatch, Overflow
from capture_nat.families import Family
from capture_nft import messages
from capture_nft.generations import Change
from capture_nft.transactions import next_generation
from capture_nft.uapi import NFNLGRP_NFTABLES, MessageType, NfFamily
from kernel.capture_nft.channels import channel_in, commit, dumped, netfilter_socket
from kernel.conftest import NetworkNamespace

V4 = Family.IPV4
SMALL = 4608


@pytest.fixture
def watch(netns: NetworkNamespace) -> Iterator[NftWatch]:
    """A watch over the namespace."""
    watch = NftWatch(netfilter_socket(netns))
    yield watch
    watch.close()


def _is_readable(watch: NftWatch) -> bool:
    return bool(select.select([watch], [], [], 0)[0])


def test_a_change_names_its_generation_and_who_made_it(
    netns: NetworkNamespace, watch: NftWatch
) -> None:
    """One notice per transaction, whatever is in it; the author is a process of the node."""
    assert watch.read() == ()
    with channel_in(netns) as channel:
        made = commit(channel, messages.add_table(V4), messages.create_chain(V4, "X"))
        assert _is_readable(watch)
        (change,) = watch.read()
        assert isinstance(change, Change)
        assert (change.generation, change.pid) == (made, os.getpid())
        assert not _is_readable(watch)
    netns.run("nft", "add chain ip nat Y")
    (change,) = watch.read()
    assert isinstance(change, Change)
    assert (change.generation, change.comm) == (next_generation(made), "nft")


IN_A_NESTED_PID_NAMESPACE = """
import os, socket
from capture_agent.nft_channel import NftChannel
from capture_agent.nft_watch import NftWatch
from capture_nat.families import Family
from capture_nft import messages
from capture_nft.transactions import Blob
opened = [socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) for _ in range(2)]
channel, watch = NftChannel(opened[0]), NftWatch(opened[1])
channel.commit(Blob.of([messages.add_table(Family.IPV4)]), channel.generation())
print(os.getpid(), channel.own_pid(), watch.read()[0].pid)
"""


def test_our_own_changes_are_known_in_a_nested_pid_namespace() -> None:
    """The kernel tells the PID that the node has for us, in both places."""
    argv = ["unshare", "--pid", "--fork", "--net", sys.executable, "-c", IN_A_NESTED_PID_NAMESPACE]
    told = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    ours, known_as, author = map(int, told.split())
    assert ours == 1
    assert known_as == author != ours


def test_a_look_is_no_change(netns: NetworkNamespace, watch: NftWatch) -> None:
    """Nor is a transaction that finds everything done."""
    with channel_in(netns) as channel:
        commit(channel, messages.add_table(V4))
        watch.read()
        dumped(channel)
        commit(channel, messages.add_table(V4))
    netns.run("iptables-nft", "-t", "nat", "-S")
    assert watch.read() == ()


def test_more_changes_than_a_read_gives_come_with_the_next(
    netns: NetworkNamespace, watch: NftWatch
) -> None:
    """In order, none lost."""
    with channel_in(netns) as channel:
        commit(channel, messages.add_table(V4))
        for number in range(MAX_CHANGES):
            commit(channel, messages.create_chain(V4, f"C{number}"))
    first, second = watch.read(), watch.read()
    assert (len(first), len(second)) == (MAX_CHANGES, 1)
    generations = [each.generation for each in first + second if isinstance(each, Change)]
    assert generations == list(range(generations[0], generations[0] + MAX_CHANGES + 1))


def test_lost_changes_are_told(netns: NetworkNamespace) -> None:
    """The buffer was too small; what comes later is noticed again."""
    sock = netfilter_socket(netns)
    watch = NftWatch(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    with channel_in(netns) as channel:
        commit(channel, messages.add_table(V4))
        for number in range(100):
            commit(channel, messages.create_chain(V4, f"C{number}"))
        seen = watch.read()
        assert seen.count(Overflow()) == 1
        assert len(seen) < 100
        made = commit(channel, messages.create_chain(V4, "LAST"))
    (change,) = watch.read()
    assert isinstance(change, Change)
    assert change.generation == made
    watch.close()


def test_nobody_in_the_pod_can_feign_a_change(netns: NetworkNamespace, watch: NftWatch) -> None:
    """Who has NET_ADMIN can send to the group; it is not what the kernel said."""
    forged = messages.message(
        MessageType.NEWGEN, 0, NfFamily.UNSPEC, bytes.fromhex("0800010000000063")
    )
    with netfilter_socket(netns) as attacker:
        attacker.sendto(forged, (0, 1 << (NFNLGRP_NFTABLES - 1)))
    assert watch.read() == ()
