"""Sockets in throw-away network namespaces, and programs written over them."""

import ctypes
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from capture_agent.nft_channel import MAX_DUMP, NftChannel
from capture_nat.families import Family
from capture_nat.rulesets import Ruleset
from capture_nft import messages
from capture_nft.reading import rule_of
from capture_nft.transactions import Blob
from kernel.conftest import NetworkNamespace

NETLINK_NETFILTER = 12
MARK = "trafficcapture.io"
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def netfilter_socket(netns: NetworkNamespace) -> socket.socket:
    """Open a socket in a namespace, in a thread that enters it and ends."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_open, netns).result()


def _open(netns: NetworkNamespace) -> socket.socket:
    with Path(f"/proc/{netns.pid}/ns/net").open("rb") as namespace:
        assert _libc.setns(namespace.fileno(), _CLONE_NEWNET) == 0, ctypes.get_errno()
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)


@contextmanager
def channel_in(
    netns: NetworkNamespace, *, sock: socket.socket | None = None, max_dump: int = MAX_DUMP
) -> Iterator[NftChannel]:
    """Hold a channel for the block, over a socket of the namespace."""
    channel = NftChannel(sock or netfilter_socket(netns), max_dump=max_dump)
    try:
        yield channel
    finally:
        channel.close()


def dumped(channel: NftChannel) -> bytes:
    """Dump everything, where nobody writes meanwhile."""
    dump = channel.dump(channel.generation())
    assert dump is not None
    return dump


def program(family: Family, ruleset: Ruleset) -> tuple[bytes, ...]:
    """Say a rule set to an empty table, in the order in which `iptables-restore` says it."""
    jumps = [jump.rule for jump in ruleset.jumps]
    rules = [rule for chain in ruleset.chains for rule in chain.rules]
    return (
        messages.add_table(family),
        *(
            messages.add_chain(family, jump.base, comment=MARK, hook=messages.HOOKS[jump.base])
            for jump in ruleset.jumps
        ),
        *(messages.create_chain(family, chain.name, comment=MARK) for chain in ruleset.chains),
        *appended(family, [*jumps, *rules]),
    )


def appended(family: Family, texts: Sequence[str]) -> tuple[bytes, ...]:
    """Append rules of ours, each to its chain."""
    return tuple(messages.append_rule(family, text.split()[1], rule_of(text)) for text in texts)


def commit(channel: NftChannel, *said: bytes) -> int:
    """Commit messages to whatever is there; the new generation."""
    return channel.commit(Blob.of(said), channel.generation())
