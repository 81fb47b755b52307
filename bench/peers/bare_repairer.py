"""The least that can put a jump back: it hears of a change and inserts the jump, without a look.

    python bare_repairer.py PID

It asks nothing, knows nothing of other changes, and serves one pod: what is between this and the
agent is the agent's, the rest is the machine's.
"""

import select
import sys
from typing import Final

from capture_agent.nft_channel import NftChannel
from capture_agent.nft_watch import NftWatch
from capture_nat.families import Family
from capture_nft.generations import Change
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
    print("ready", flush=True)
    while True:
        select.select([watch], [], [])
        for change in watch.read():
            if isinstance(change, Change) and change.pid != own_pid:
                channel.commit(blob, change.generation)


main()
