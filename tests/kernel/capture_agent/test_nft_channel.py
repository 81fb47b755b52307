"""A channel believes the kernel alone, and a pod can't make it grow or wait."""

from collections import Counter

import pytest

from capture_agent.nft_channel import ChannelError, DumpTooLargeError
from capture_nat.families import Family
from capture_nft import messages
from capture_nft.snapshots import decode
from capture_nft.uapi import MessageType, NfFamily
from kernel.capture_nft.channels import appended, channel_in, commit, dumped, netfilter_socket
from kernel.conftest import NetworkNamespace

V4 = Family.IPV4
GROUPS = 32
RULES = [f"-A X -p tcp -m tcp --dport {port} -j RETURN" for port in range(1, 501)]


def test_a_dump_beyond_the_limit_is_given_up(netns: NetworkNamespace) -> None:
    """The channel closes itself: the rest of the dump would be taken for the next answer."""
    with channel_in(netns) as channel, channel_in(netns, max_dump=64 << 10) as bounded:
        commit(channel, messages.add_table(V4), messages.add_chain(V4, "X"), *appended(V4, RULES))
        with pytest.raises(DumpTooLargeError, match="65536 bytes"):
            bounded.dump(bounded.generation())
        with pytest.raises(ChannelError):
            bounded.generation()


def test_a_dump_of_many_datagrams_is_read_whole(netns: NetworkNamespace) -> None:
    """Every rule once, in order."""
    with channel_in(netns) as channel:
        commit(channel, messages.add_table(V4), messages.add_chain(V4, "X"), *appended(V4, RULES))
        handles = [rule.handle for rule in decode(dumped(channel)).rules]
    assert len(handles) == len(RULES)
    assert handles == sorted(handles)


def test_a_dump_has_the_rules_of_every_family(netns: NetworkNamespace) -> None:
    """And of every table."""
    netns.run("nft", "add table inet t; add chain inet t c; add rule inet t c return")
    with channel_in(netns) as channel:
        commit(channel, messages.add_table(V4), messages.add_chain(V4, "X"), *appended(V4, RULES))
        tables = [rule.table for rule in decode(dumped(channel)).rules]
    assert Counter(tables) == {"nat": len(RULES), "t": 1}


@pytest.mark.parametrize("rules", ["", "add rule ip t c return"], ids=["no rules", "rules"])
def test_a_dump_of_an_earlier_generation_is_none(netns: NetworkNamespace, rules: str) -> None:
    """Even where there is nothing yet that tells its generation."""
    netns.run("nft", f"add table ip t; add chain ip t c; {rules}")
    with channel_in(netns) as channel:
        generation = channel.generation()
        assert channel.dump(generation)
        netns.run("nft", "add table ip other")
        assert channel.dump(generation) is None
        assert channel.dump(channel.generation())


def test_nobody_in_the_pod_can_answer_for_the_kernel(netns: NetworkNamespace) -> None:
    """What came before the socket was connected is dropped; later messages don't reach it."""
    victim = netfilter_socket(netns)
    victim.bind((0, 0))
    port = victim.getsockname()[0]
    forged = messages.message(MessageType.NEWGEN, 0, NfFamily.UNSPEC)
    with netfilter_socket(netns) as attacker:
        attacker.sendto(forged, (port, 0))
        with channel_in(netns, sock=victim) as channel:
            with pytest.raises(ConnectionRefusedError):
                attacker.sendto(forged, (port, 0))
            for group in range(GROUPS):  # each call reaches but the first in its mask
                attacker.sendto(forged, (0, 1 << group))
            assert channel.generation() == 1


def test_a_closed_socket_is_an_error_of_ours(netns: NetworkNamespace) -> None:
    """Closing twice is none."""
    with channel_in(netns) as channel:
        channel.close()
        with pytest.raises(ChannelError, match="can't send"):
            channel.generation()
