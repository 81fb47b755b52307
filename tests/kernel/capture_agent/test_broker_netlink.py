"""What the broker reads in a pod by hand is what a library reads there."""

import ipaddress
import os

from pyroute2 import IPRoute

from capture_agent.broker_netlink import addresses, nf_tables
from capture_nft.snapshots import decode
from capture_nft.uapi import NfFamily
from kernel.capture_agent.entering import there
from kernel.pods import Pod

POINT_TO_POINT = (("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2"))


def test_addresses_are_those_that_a_library_lists(pod: Pod) -> None:
    """Of both families, more of them than one part of a dump holds; a peer's are not the pod's."""
    commands = [f"address add 10.{n >> 8}.{n & 255}.1/32 dev lo" for n in range(1500)]
    commands += [f"address add {own} peer {peer} dev lo" for own, peer in POINT_TO_POINT]
    pod.run("ip", "-batch", "-", stdin="\n".join(commands))

    def listed() -> frozenset[bytes]:
        with IPRoute() as route:
            return frozenset(
                ipaddress.ip_address(
                    message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
                ).packed
                for message in route.get_addr()
            )

    assert there(pod, addresses) == there(pod, listed)
    found = there(pod, addresses)
    assert len(found) > 1500
    for own, peer in POINT_TO_POINT:
        assert ipaddress.ip_address(own).packed in found
        assert ipaddress.ip_address(peer).packed not in found


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


def test_nothing_stays_open() -> None:
    """A socket that is left would keep a pod's namespace alive."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no file system
    for _ in range(3):
        addresses()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
