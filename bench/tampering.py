"""Somebody in a pod who deletes our rules, and is told by a witness when they are back."""

import contextlib
import os
import select
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from capture_agent.broker_protocol import SocketKind
from capture_agent.broker_sockets import opened_socket
from capture_agent.linux_calls import CLONE_NEWNET, setns
from capture_agent.nft_channel import NftChannel
from capture_nat.families import Family
from capture_nft.messages import delete_rule, flush_chain
from capture_nft.snapshots import NftRule, decode
from capture_nft.transactions import Blob
from kernel.pods import Pod
from peer_processes import started_peer

PATIENCE = 10.0
"""Seconds after which rules count as not put back."""
TOLD: Final = struct.Struct("=Id")
"""What a witness tells: the place of a pod, and when somebody else changed its rules."""


def netfilter_sockets(pod: Pod, count: int) -> list[socket.socket]:
    """Open sockets in a pod's network namespace, in a thread that enters it and ends."""
    return sockets_in(pod.pid, count)


def sockets_in(pid: int, count: int) -> list[socket.socket]:
    """Do the same for the network namespace of a process."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_open, pid, count).result()


def enter(pid: int) -> None:
    """Move the calling thread into a process's network namespace.

    Raises:
        OSError: it could not be entered.
    """
    with Path(f"/proc/{pid}/ns/net").open("rb") as namespace:
        enter_file(namespace.fileno())


def enter_file(namespace: int) -> None:
    """Move the calling thread into the network namespace of a descriptor.

    Raises:
        OSError: it could not be entered.
    """
    setns(namespace, CLONE_NEWNET)


def _open(pid: int, count: int) -> list[socket.socket]:
    enter(pid)
    return [opened_socket(SocketKind.NETFILTER) for _ in range(count)]


class Witness:
    """A process that sees when somebody else changes a pod's rules; see `peers/witness.py`."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out.fileno()
        self._poll = select.poll()
        self._poll.register(out, select.POLLIN)

    def next(self, place: int, since: float) -> float:
        """Wait until a pod's rules are changed; when that was.

        Raises:
            TimeoutError: they are not.
        """
        while (left := since + PATIENCE - time.perf_counter()) > 0 and self._poll.poll(left * 1000):
            changed, at = self._read()
            if changed == place and at >= since:
                return at
        raise TimeoutError(f"what was deleted is not back after {PATIENCE:.0f} s")

    def begin(self) -> None:
        """Wait until it sees everything."""
        self._read()

    def forget(self) -> None:
        """Drop what was told up to now."""
        while self._poll.poll(0):
            self._read()

    def _read(self) -> tuple[int, float]:
        told = os.read(self._out, TOLD.size)
        if not told:
            raise RuntimeError("the witness has ended")
        place, at = TOLD.unpack(told)
        return place, at


@dataclass(frozen=True, slots=True)
class Tamperer:
    """One pod's nf_tables, tampered with."""

    channel: NftChannel
    witness: Witness
    place: int

    def delete_jump(self) -> None:
        """Delete the jump out of OUTPUT."""
        self._commit(self._jump_deletion())

    def flush(self) -> None:
        """Flush every chain of the table, ours and the built-in ones."""
        self._commit(self._flushes())

    def jump_back(self) -> float:
        """Delete the jump; seconds until it is back."""
        return self._until_back(self._jump_deletion())

    def flush_back(self) -> float:
        """Flush everything; seconds until all of it is back."""
        return self._until_back(self._flushes())

    def _jump_deletion(self) -> list[bytes]:
        jump = next(rule for rule in self._rules() if rule.chain == "OUTPUT")
        return [delete_rule(Family.IPV4, "OUTPUT", jump.handle)]

    def _flushes(self) -> list[bytes]:
        chains = sorted({rule.chain for rule in self._rules()})
        return [flush_chain(Family.IPV4, chain) for chain in chains]

    def _commit(self, messages: list[bytes]) -> None:
        self.channel.commit(Blob.of(messages), self.channel.generation())

    def _until_back(self, messages: list[bytes]) -> float:
        before = _contents(self._rules())
        blob, generation = Blob.of(messages), self.channel.generation()
        self.witness.forget()
        began = time.perf_counter()
        self.channel.commit(blob, generation)
        while True:
            changed = self.witness.next(self.place, began)
            if _contents(self._rules()) == before:
                return changed - began

    def _rules(self) -> tuple[NftRule, ...]:
        while (dump := self.channel.dump(self.channel.generation())) is None:
            pass  # somebody wrote meanwhile
        return decode(dump).rules


@contextmanager
def tampering(pods: tuple[Pod, ...]) -> Iterator[list[Tamperer]]:
    """Hold a tamperer for each pod."""
    with contextlib.ExitStack() as held:
        channels = [NftChannel(*netfilter_sockets(pod, 1)) for pod in pods]
        for channel in channels:
            held.callback(channel.close)
        witness = held.enter_context(_witness(channels[0].own_pid(), pods))
        yield [Tamperer(channel, witness, place) for place, channel in enumerate(channels)]


@contextmanager
def _witness(deleter: int, pods: tuple[Pod, ...]) -> Iterator[Witness]:
    arguments = (str(deleter), *(str(pod.pid) for pod in pods))
    with started_peer("witness.py", *arguments, stdout=subprocess.PIPE) as process:
        if process.stdout is None:
            raise RuntimeError("the witness has no output")
        try:
            witness = Witness(process.stdout)
            witness.begin()
            yield witness
        finally:
            process.kill()


def _contents(rules: tuple[NftRule, ...]) -> list[tuple[str, bytes]]:
    return [(rule.chain, rule.expressions) for rule in rules]
