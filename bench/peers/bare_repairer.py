"""The least that can put a jump back: it hears of a change and inserts the jump.

    python bare_repairer.py PID [looking]

It does so without a look; or, `looking`, it reads who made the change and what is there now, as
whoever wants to tell and not to overwrite anything has to. It keeps no records and serves one pod:
what is between this and the agent is the agent's, the rest is the machine's.
"""

import select
import sys
from typing import Final

from capture_agent.actors import actor
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


def main() -> None:
    """Put the jump back whenever somebody else changes anything, until killed."""
    netfilter, watched = sockets_in(int(sys.argv[1]), 2)
    channel, watch = NftChannel(netfilter), NftWatch(watched)
    own_pid = channel.own_pid()
    blob = Blob.of([insert_rule(Family.IPV4, "OUTPUT", rule_of(_JUMP))])
    known: DumpCache[Blob] = DumpCache()
    is_looking = sys.argv[2:] == ["looking"]
    print("ready", flush=True)
    while True:
        select.select([watch], [], [])
        for change in watch.read():
            if isinstance(change, Change) and change.pid != own_pid:
                if is_looking:
                    actor(change.pid, change.comm)
                    _look(channel, known, blob)
                channel.commit(blob, change.generation)


def _look(channel: NftChannel, known: DumpCache[Blob], plan: Blob) -> None:
    dump = channel.dump_tables() + channel.dump_chains() + channel.dump_rules()
    if known.find(dump) is None:
        known.remember(Pattern.of(dump), plan)


main()
