"""What the broker reads over netlink by hand is what a library reads there."""

import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.diag import DiagSocket

from capture_agent.broker_netlink import addresses, nf_tables, tcp_listeners
from capture_agent.broker_protocol import NETLINK_SOCK_DIAG
from capture_agent.linux_calls import CLONE_NEWNET, setns
from capture_agent.listening import Listener
from capture_nft.snapshots import decode
from capture_nft.uapi import NfFamily
from kernel.pods import Pod

T = TypeVar("T")
_LISTEN = 1 << 10


@contextmanager
def _in(pod: Pod) -> Iterator[None]:
    with Path(f"/proc/{pod.pid}/ns/net").open() as netns:
        setns(netns.fileno(), CLONE_NEWNET)
        yield


def there(pod: Pod, read: Callable[[], T]) -> T:
    """Read something in a pod's namespace, in a thread of its own that ends with it."""
    found: list[T] = []

    def enter() -> None:
        with _in(pod):
            found.append(read())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return found[0]


def test_addresses_are_those_that_a_library_lists(pod: Pod) -> None:
    """Of both families, more of them than one part of a dump holds."""
    commands = [f"address add 10.{n >> 8}.{n & 255}.1/32 dev lo" for n in range(1500)]
    pod.run("ip", "-batch", "-", stdin="\n".join(commands))

    def listed() -> frozenset[bytes]:
        with IPRoute() as route:
            return frozenset(
                ipaddress.ip_address(value).packed
                for message in route.get_addr()
                for name, value in message["attrs"]
                if name in {"IFA_ADDRESS", "IFA_LOCAL"}
            )

    assert there(pod, addresses) == there(pod, listed)
    assert len(there(pod, addresses)) > 1500


def test_nf_tables_are_dumped_as_their_decoder_reads_them(pod: Pod) -> None:
    """Tables, chains with their comments, and rules, of every family."""
    pod.run(
        "nft",
        'add table ip nat; add chain ip nat A { comment "of A"; }; add chain ip nat B;'
        "add table ip6 nat { flags dormant; }; add rule ip nat A jump B",
    )
    snapshot = decode(there(pod, nf_tables))
    assert [(table.family, table.dormant) for table in snapshot.tables] == [
        (NfFamily.IPV4, False),
        (NfFamily.IPV6, True),
    ]
    assert [(chain.name, chain.comment) for chain in snapshot.chains] == [
        ("A", "of A"),
        ("B", None),
    ]
    assert [rule.chain for rule in snapshot.rules] == ["A"]


def test_a_thousand_chains_are_dumped(pod: Pod) -> None:
    """They come in many parts."""
    chains = "\n".join(f'add chain ip nat C{n} {{ comment "{n}"; }}' for n in range(1000))
    pod.run("nft", "-f", "-", stdin=f"add table ip nat\n{chains}")
    found = {(chain.name, chain.comment) for chain in decode(there(pod, nf_tables)).chains}
    assert found == {(f"C{number}", str(number)) for number in range(1000)}


def test_listeners_are_those_that_a_library_lists(pod: Pod) -> None:
    """Of both families; what is only connected is none."""

    def listed() -> tuple[set[Listener], set[Listener]]:
        with (
            socket.create_server(("127.0.0.1", 0)) as ours,
            socket.create_server(("::", 0), family=socket.AF_INET6),
            socket.create_connection(ours.getsockname()),
            DiagSocket() as diag,
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as by_hand,
        ):
            diag.bind()
            found = [
                Listener(item["idiag_src"], item["idiag_sport"])
                for family in (socket.AF_INET, socket.AF_INET6)
                for item in diag.get_sock_stats(family=family, states=_LISTEN)
            ]
            return set(found), set(tcp_listeners(by_hand))

    by_library, by_hand = there(pod, listed)
    assert by_hand == by_library
    assert len(by_hand) == 2


def test_nothing_stays_open() -> None:
    """A socket that is left would keep a pod's namespace alive."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no file system
    for _ in range(3):
        addresses()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
