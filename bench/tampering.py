"""Somebody in a pod who deletes our rules, and sees when they are back."""

import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from capture_agent.broker_protocol import SocketKind
from capture_agent.broker_sockets import opened_socket
from capture_agent.linux_calls import CLONE_NEWNET, setns
from capture_agent.nft_channel import NftChannel
from capture_agent.nft_watch import NftWatch
from capture_nat.families import Family
from capture_nft.messages import delete_rule, flush_chain
from capture_nft.snapshots import NftRule, decode
from capture_nft.transactions import Blob
from kernel.pods import Pod

PATIENCE = 10.0
"""Seconds after which rules count as not put back."""


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


@dataclass(slots=True)
class Tamperer:
    """One pod's nf_tables: tampered with over one socket, watched over another."""

    channel: NftChannel
    watch: NftWatch
    poll: select.poll = field(default_factory=select.poll)

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
        own_pid = self.channel.own_pid()
        self.watch.read()
        began = time.perf_counter()
        self.channel.commit(blob, generation)
        while time.perf_counter() - began < PATIENCE:
            self.poll.poll(PATIENCE * 1000)
            heard = time.perf_counter()
            others = [each for each in self.watch.read() if getattr(each, "pid", 0) != own_pid]
            if others and _contents(self._rules()) == before:
                return heard - began
        raise TimeoutError(f"what was deleted is not back after {PATIENCE:.0f} s")

    def _rules(self) -> tuple[NftRule, ...]:
        return decode(self.channel.dump(self.channel.generation()) or b"").rules


@contextmanager
def tampering(pods: tuple[Pod, ...]) -> Iterator[list[Tamperer]]:
    """Hold a tamperer for each pod."""
    tamperers = []
    for pod in pods:
        channel, watch = netfilter_sockets(pod, 2)
        tamperers.append(Tamperer(NftChannel(channel), NftWatch(watch)))
        tamperers[-1].poll.register(tamperers[-1].watch, select.POLLIN)
    try:
        yield tamperers
    finally:
        for each in tamperers:
            each.channel.close()
            each.watch.close()


def _contents(rules: tuple[NftRule, ...]) -> list[tuple[str, bytes]]:
    return [(rule.chain, rule.expressions) for rule in rules]
