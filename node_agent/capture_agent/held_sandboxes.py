"""The sockets that the agent holds in sandboxes: asked for once, used at every look.

A socket stays in the network namespace that it was opened in, and keeps that namespace alive. So
each is closed as soon as its sandbox ends: when the runtime says so, or when the process that leads
to it has ended, which the kernel says.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from capture_agent.actors import Actor, cgroup_of
from capture_agent.broker_client import Broker, OpenedSockets, SandboxRefusedError
from capture_agent.broker_protocol import Refusal, SocketKind
from capture_agent.hook_order import HookOrder
from capture_agent.legacy_tables import LegacyTables
from capture_agent.nft_channel import NftChannel
from capture_agent.nft_watch import NftWatch, Overflow
from capture_agent.sandboxes import Sandbox, ToldProcess
from capture_nat.families import Family
from capture_nft.contents import Contents
from capture_nft.errors import NftError
from capture_nft.generations import Change
from capture_nri.pod_sandboxes import PodSandbox

_SOCKETS = (SocketKind.NETFILTER, SocketKind.NETFILTER, SocketKind.SOCK_DIAG)
_KINDS = (*_SOCKETS, SocketKind.LEGACY_IPV4, SocketKind.LEGACY_IPV6)


class Seen(msgspec.Struct, frozen=True):
    """What a namespace held at a generation: the dump, and what was concluded from it."""

    generation: int
    dump: bytes
    contents: Contents


@dataclass(slots=True)
class HeldSandbox:
    """What is held of one sandbox, and what was heard from it."""

    sandbox: Sandbox
    channel: NftChannel
    watch: NftWatch
    sock_diag: socket.socket
    legacy: LegacyTables
    sockets: tuple[socket.socket, ...]
    """Those of channel, watch and sock_diag."""
    own_user_namespace: bool
    own_pid: int
    """The PID by which the kernel tells of our own changes."""
    process: int | None
    """A pidfd, None for a sandbox without a process."""
    changed_by: Actor | None = None
    """Who changed the rules last, ourselves aside."""
    heard: int | None = None
    """The generation of the only foreign notice since the last look; None if it has to be asked."""
    seen: Seen | None = None
    """The last look."""
    refusals: dict[Family, str] = field(default_factory=dict)
    """Why the kernel would not take a transaction of ours for a family."""
    hook_order: HookOrder = field(default_factory=HookOrder)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All that are open because of it."""
        sockets = tuple(each.fileno() for each in self.sockets if each.fileno() >= 0)
        process = () if self.process is None else (self.process,)
        return (*sockets, *self.legacy.descriptors, *process)

    def close(self) -> None:
        """Let go of the network namespace; may be called again."""
        self.channel.close()
        self.watch.close()
        self.sock_diag.close()
        self.legacy.close()
        if self.process is not None:
            os.close(self.process)
            self.process = None


class HeldSandboxes:
    """Opens what is held, hears changes, and closes.

    `changed` is told the UID of a pod whose rules somebody else changed, `ended` that of a pod
    whose sandbox's process has ended; `counted` hears that more is held, or less.
    """

    def __init__(
        self,
        broker: Broker,
        changed: Callable[[str], None],
        ended: Callable[[str], None],
        counted: Callable[[], None] = lambda: None,
    ) -> None:
        self._broker = broker
        self._changed = changed
        self._ended = ended
        self._counted = counted
        self._held: dict[str, HeldSandbox] = {}

    def __len__(self) -> int:
        return len(self._held)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All that are open because of what is held."""
        return tuple(each for held in self._held.values() for each in held.descriptors)

    def get(self, sandbox: Sandbox) -> HeldSandbox | None:
        """Give what is held of a sandbox, if it was opened for just this claim."""
        held = self._held.get(sandbox.key)
        return held if held is not None and held.sandbox == sandbox else None

    async def hold(self, sandbox: Sandbox) -> HeldSandbox:
        """Give what is held of a sandbox, which is opened the first time.

        What was verified for one claim is good for no other: two pods may claim one sandbox, one of
        them falsely, and only the broker tells which.

        Raises:
            SandboxRefusedError: the broker did not enter it.
            BrokerLostError: the broker died or hung.
        """
        held = self.get(sandbox)
        if held is None or held.legacy.are_outdated:
            held = await self._open(sandbox)
        return held

    async def hold_told(self, told: PodSandbox) -> Sandbox | None:
        """Find and open at once the sandbox that the runtime tells by its process.

        Returns:
            What it was found to be; None if that is not so, and nothing was opened.

        Raises:
            BrokerLostError: the broker died or hung.
        """
        try:
            return (await self._open(ToldProcess(told.uid, told.pid, told.ips))).sandbox
        except SandboxRefusedError:
            return None

    def close(self, ended: PodSandbox) -> None:
        """Let go of a sandbox of which the runtime says that it ended; its pod may have another."""
        for key, held in tuple(self._held.items()):
            if _is_same(held.sandbox, ended):
                self._close(key)

    def drop(self, sandbox: Sandbox) -> None:
        """Let go of one sandbox: what is held is of no use any more."""
        if sandbox.key in self._held:
            self._close(sandbox.key)

    def close_all(self) -> None:
        """Let go of all sandboxes."""
        for key in tuple(self._held):
            self._close(key)

    async def _open(self, claim: Sandbox | ToldProcess) -> HeldSandbox:
        with contextlib.ExitStack() as unused:
            process = _pidfd(claim.pid)
            if process is not None:
                unused.callback(os.close, process)
            # The process was verified while we had it pinned: it is the one that the PID names.
            opened = await self._broker.open(claim, *_KINDS)
            unused.callback(opened.close)
            held = _held(opened, process)
            unused.pop_all()
        self.drop(held.sandbox)
        self._held[held.sandbox.key] = held
        self._counted()
        loop = asyncio.get_running_loop()
        loop.add_reader(held.watch.fileno(), self._hear, held)
        if held.process is not None:
            loop.add_reader(held.process, self._end, held)
        return held

    def _hear(self, held: HeldSandbox) -> None:
        try:
            heard = held.watch.read()
        except (OSError, NftError):
            # Nothing is heard from there any more; the next look opens it anew.
            self._close(held.sandbox.key)
            self._changed(held.sandbox.pod_uid)
            return
        foreign = [each for each in heard if not _is_by(held.own_pid, each)]
        if foreign:
            # The kernel counts a generation on just before its rules are there to be read.
            held.seen = None
            last = foreign[-1]
            # Where more came than one, others may be on their way, or lost: it is asked for then.
            held.heard = last.generation if isinstance(last, Change) and len(heard) == 1 else None
            held.changed_by = _actor(last, held.own_pid)
            self._changed(held.sandbox.pod_uid)

    def _end(self, held: HeldSandbox) -> None:
        self._close(held.sandbox.key)
        self._ended(held.sandbox.pod_uid)

    def _close(self, key: str) -> None:
        held = self._held.pop(key)
        loop = asyncio.get_running_loop()
        loop.remove_reader(held.watch.fileno())
        if held.process is not None:
            loop.remove_reader(held.process)
        held.close()
        self._counted()


def _is_by(pid: int, heard: Change | Overflow) -> bool:
    return isinstance(heard, Change) and heard.pid == pid


def _is_same(sandbox: Sandbox, described: PodSandbox) -> bool:
    if sandbox.pid:
        leads_there = sandbox.pid == described.pid
    else:
        leads_there = sandbox.path == described.netns_path
    return leads_there and sandbox.pod_uid == described.uid


def _actor(heard: Change | Overflow, own_pid: int) -> Actor | None:
    if isinstance(heard, Overflow) or not heard.pid:
        return None
    # In a nested PID namespace, that number is another process's here.
    cgroup = cgroup_of(heard.pid) if own_pid == os.getpid() else b""
    return Actor(heard.pid, heard.comm, cgroup)


def _pidfd(pid: int) -> int | None:
    if not pid:
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError as error:
        message = f"process {pid} has ended"
        raise SandboxRefusedError(Refusal.SANDBOX_GONE, message) from error


def _held(opened: OpenedSockets, process: int | None) -> HeldSandbox:
    netfilter, watch, sock_diag = opened.sockets
    channel = NftChannel(netfilter)
    return HeldSandbox(
        sandbox=opened.sandbox,
        channel=channel,
        watch=NftWatch(watch),
        sock_diag=sock_diag,
        legacy=LegacyTables(opened.legacy_lists),
        sockets=opened.sockets,
        own_user_namespace=opened.own_user_namespace,
        own_pid=channel.own_pid(),
        process=process,
    )
