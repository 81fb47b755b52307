"""The least that can put a jump back: it hears of a change and inserts the jump.

    python bare_repairer.py [--looking] PID...

It does so without a look; or, `--looking`, it reads who made the change and what is there now, as
whoever wants to tell and not to overwrite anything has to. It watches these pods and keeps no
records: what is between this and the agent is the agent's, the rest is the machine's.
"""

import argparse
import select
from collections.abc import Callable
from functools import partial
from typing import Final

from capture_agent.actors import cgroup_of
from capture_agent.nft_channel import NftChannel
from capture_agent.nft_watch import NftWatch
from capture_nat.families import Family
from capture_nft.dump_cache import DumpCache
from capture_nft.generations import Change
from capture_nft.masks import Pattern
from capture_nft.messages import insert_rule
from capture_nft.reading import rule_of
from capture_nft.transactions import Blob
from tampering import sockets_in

_JUMP: Final = "-A OUTPUT -p tcp -j ISTIO_OUTPUT"

Look = Callable[[NftChannel, Change], None]


def main() -> None:
    """Put the jumps back whenever somebody else changes anything, until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--looking", action="store_true")
    parser.add_argument("pids", type=int, nargs="+")
    options = parser.parse_args()
    blob = Blob.of([insert_rule(Family.IPV4, "OUTPUT", rule_of(_JUMP))])
    look = partial(_look, DumpCache()) if options.looking else _believe
    poll, watched = select.epoll(), {}
    for pid in options.pids:
        netfilter, heard = sockets_in(pid, 2)
        channel, watch = NftChannel(netfilter), NftWatch(heard)
        watched[watch.fileno()] = (channel, watch, channel.own_pid())
        poll.register(watch, select.EPOLLIN)
    print("ready", flush=True)
    while True:
        for descriptor, _ in poll.poll():
            _repair(*watched[descriptor], look, blob)


def _repair(channel: NftChannel, watch: NftWatch, own_pid: int, look: Look, jump: Blob) -> None:
    for change in watch.read():
        if isinstance(change, Change) and change.pid != own_pid:
            look(channel, change)
            channel.commit(jump, change.generation)


def _believe(_: NftChannel, __: Change) -> None:
    """Take it for granted that just the jump is gone."""


def _look(known: DumpCache[bool], channel: NftChannel, change: Change) -> None:
    cgroup_of(change.pid)
    dump = channel.dump(change.generation) or channel.dump(channel.generation())
    if dump is not None and known.find(dump) is None:
        known.remember(Pattern.of(dump), True)  # noqa: FBT003 - all that there is to know


main()
