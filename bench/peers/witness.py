"""Sees when somebody else changes nf_tables in pods: a process of its own, which has nothing to do.

    python witness.py DELETER PID...

Whoever deletes something can't tell when it is back: what puts it back may run on its core, and is
put before it. So this process tells, of each change that the process DELETER did not make, the
place of its pod among the arguments, and the time on the monotonic clock. The kernel does not wake
it for others, and runs it at once: what is measured is not its own waiting.
"""

import argparse
import os
import select
import sys
import time
from typing import Final

from capture_agent.nft_watch import NftWatch
from capture_agent.socket_filters import (
    JUMP_IF_EQUAL,
    LOAD_HALF,
    LOAD_WORD,
    RETURN,
    WHOLE,
    as_loaded,
    attach_filter,
    program_of,
)
from capture_nft.uapi import MessageType
from tampering import TOLD, sockets_in

_TYPE: Final = 4
_PID: Final = 32
"""Offsets in the notice of a new generation: of the message's type, and of who made it."""


def main() -> None:
    """Tell until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("deleter", type=int)
    parser.add_argument("pids", type=int, nargs="+")
    options = parser.parse_args()
    poll, watched = select.epoll(), {}
    for place, pid in enumerate(options.pids):
        (sock,) = sockets_in(pid, 1)
        watch = NftWatch(sock)
        attach_filter(sock, _no_change_of(options.deleter))
        watched[watch.fileno()] = (place, watch)
        poll.register(watch, select.EPOLLIN)
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    out = sys.stdout.fileno()
    os.write(out, TOLD.pack(0, 0.0))
    while True:
        for descriptor, _ in poll.poll():
            at = time.perf_counter()
            place, watch = watched[descriptor]
            watch.read()
            os.write(out, TOLD.pack(place, at))


def _no_change_of(pid: int) -> bytes:
    return program_of(
        (LOAD_HALF, 0, 0, _TYPE),
        (JUMP_IF_EQUAL, 0, 2, as_loaded(MessageType.NEWGEN)),
        (LOAD_WORD, 0, 0, _PID),
        (JUMP_IF_EQUAL, 0, 1, pid),
        (RETURN, 0, 0, 0),
        (RETURN, 0, 0, WHOLE),
    )


main()
