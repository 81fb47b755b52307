"""The least that can capture a pod that starts: it enters, writes the rules, and reads them back.

    python bare_gate.py SOCKET

Told the PID of a process, it answers when that one's namespace has the rules. It verifies nothing,
keeps no records, hears of no later change and enters namespaces itself: what is between this and
the agent is the agent's, the rest is the machine's.
"""

import os
import socket
import sys
from contextlib import closing

import programs
from capture_agent.broker_protocol import SocketKind
from capture_agent.broker_sockets import opened_socket
from capture_agent.iptables_backend import MARK
from capture_agent.linux_calls import CLONE_NEWNET, setns
from capture_agent.nft_channel import NftChannel
from capture_nat.families import Family
from capture_nft.plans import transaction_of
from capture_nft.transactions import Blob


def main() -> None:
    """Answer until the connection is closed."""
    blob = transaction_of({Family.IPV4: programs.plan()}, MARK, {})
    if blob is None:
        raise AssertionError("the program has rules")
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as told:
        told.connect(sys.argv[1])
        while pid := told.recv(16):
            _capture(int(pid), home, blob)
            told.send(b"captured")


def _capture(pid: int, home: int, blob: Blob) -> None:
    with open(f"/proc/{pid}/ns/net", "rb", buffering=0) as namespace:  # noqa: PTH123
        setns(namespace.fileno(), CLONE_NEWNET)
        sock = opened_socket(SocketKind.NETFILTER)
        setns(home, CLONE_NEWNET)
    with closing(NftChannel(sock)) as channel:
        generation = channel.generation()
        channel.dump(generation)
        channel.dump(channel.commit(blob, generation))


main()
