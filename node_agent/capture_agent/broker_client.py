"""The agent's end of the broker: has it forked, asks it, replaces it when it dies or hangs."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from capture_agent.broker_protocol import (
    LEGACY_LISTS,
    SOCKETS,
    Done,
    Execute,
    FrameError,
    Identified,
    IdentifyNetns,
    ListProcesses,
    Opened,
    OpenSockets,
    Processes,
    ReadProcess,
    Refusal,
    Refused,
    Reply,
    Request,
    RunSteps,
    SocketKind,
    Step,
    StepResult,
    frame,
)
from capture_agent.broker_stream import BrokerStream
from capture_agent.processes import Process
from capture_agent.sandboxes import Sandbox, ToldProcess
from capture_agent.zygote_client import Zygote, ZygoteLostError
from capture_api.node_captures import NetnsIdentity
from capture_nat.families import Family

log = logging.getLogger(__name__)

R = TypeVar("R", bound=StepResult)
A = TypeVar("A", bound=Reply)

_HANG_SECONDS = 10.0
"""For all that a broker does besides running programs; one that takes longer is stuck."""


class SandboxRefusedError(Exception):
    """The broker did not enter a sandbox, or could not take a step in it."""

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal


class BrokerLostError(Exception):
    """The broker died or hung; the next request starts another."""


def result_of(results: Iterable[StepResult], kind: type[R]) -> R:
    """Pick the one result of a kind of step."""
    (result,) = (result for result in results if isinstance(result, kind))
    return result


@dataclass(frozen=True, slots=True)
class OpenedSockets:
    """What was opened in a sandbox; whoever has it closes it.

    `sockets` are in the order in which they were asked for, `legacy_lists` are the descriptors of
    the lists of legacy tables. None of them blocks, or survives an exec. `own_user_namespace`: the
    network namespace belongs to a user namespace other than the node's, so rules that name users
    have to be written by a program (`Execute`).
    """

    sandbox: Sandbox
    sockets: tuple[socket.socket, ...]
    legacy_lists: Mapping[Family, int]
    own_user_namespace: bool

    def close(self) -> None:
        """Close everything: the namespace is kept alive no longer."""
        for opened in self.sockets:
            opened.close()
        _close(self.legacy_lists.values())


class Broker:
    """Does in pods' network namespaces what only a broker can, one request at a time.

    An asynchronous context manager; the broker process is forked for the first request. A request
    waits for the one before: use one `Broker` for what must be quick and another for programs.

    Every method raises `BrokerLostError` if the broker died or hung; what of the request happened
    is unknown then. Cancelling one replaces the broker.
    """

    def __init__(self, zygote: Zygote, hang_seconds: float = _HANG_SECONDS) -> None:
        self._zygote = zygote
        self._hang_seconds = hang_seconds
        self._turn = asyncio.Lock()
        self._stream: BrokerStream | None = None
        self.pid: int | None = None
        self.starts = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._end()

    async def run(self, sandbox: Sandbox, *steps: Step) -> tuple[StepResult, ...]:
        """Take steps in the sandbox's network namespace.

        Returns:
            One result a step; the last is that of a program that had to succeed and did not.

        Raises:
            SandboxRefusedError: the namespace is not the sandbox's, or a step failed.
        """
        seconds = sum(step.timeout for step in steps if isinstance(step, Execute))
        return (await self._expect(Done, RunSteps(sandbox, steps), seconds)).results

    async def open(self, sandbox: Sandbox | ToldProcess, *kinds: SocketKind) -> OpenedSockets:
        """Open descriptors in the sandbox's network namespace, no list twice.

        Raises:
            SandboxRefusedError: the namespace is not the sandbox's; nothing is open.
        """
        reply, descriptors = await self._ask(OpenSockets(sandbox, kinds))
        if isinstance(reply, Opened) and len(descriptors) + len(reply.absent) == len(kinds):
            return _opened(reply, [kind for kind in kinds if kind not in reply.absent], descriptors)
        _close(descriptors)
        raise await self._unexpected(reply)

    async def addresses(self, sandbox: Sandbox) -> tuple[bytes, ...]:
        """List the addresses in a sandbox's network namespace, if the sandbox's are unknown.

        Returns:
            All of them, loopback's too, in network byte order; none for a sandbox with addresses.

        Raises:
            SandboxRefusedError: the namespace is not the sandbox's.
        """
        return (await self._expect(Opened, OpenSockets(sandbox, ()))).addresses

    async def pod_processes(self) -> tuple[Process, ...]:
        """List the live processes of all pods of the node."""
        return (await self._expect(Processes, ListProcesses())).processes

    async def process(self, pid: int) -> Process | None:
        """Read one process; None if it is gone or belongs to no pod."""
        return next(iter((await self._expect(Processes, ReadProcess(pid))).processes), None)

    async def netns(self, path: str) -> NetnsIdentity | None:
        """Identify the network namespace that a runtime keeps under a path; None without one."""
        return (await self._expect(Identified, IdentifyNetns(path))).netns

    async def _expect(self, kind: type[A], request: Request, seconds: float = 0) -> A:
        reply, descriptors = await self._ask(request, seconds)
        if isinstance(reply, kind) and not descriptors:
            return reply
        _close(descriptors)
        raise await self._unexpected(reply)

    async def _unexpected(self, reply: Reply) -> Exception:
        if isinstance(reply, Refused):
            return SandboxRefusedError(reply.refusal, reply.message)
        await self._end()
        return BrokerLostError("the broker gave the answer to another question, and is replaced")

    async def _ask(self, request: Request, seconds: float = 0) -> tuple[Reply, list[int]]:
        framed = frame(request)
        async with self._turn:
            try:
                async with asyncio.timeout(self._hang_seconds + seconds):
                    return await (await self._connected()).ask(framed)
            except ZygoteLostError as error:
                raise BrokerLostError(str(error)) from error
            except (OSError, EOFError, FrameError, TimeoutError) as error:
                await self._end()
                raise BrokerLostError(
                    f"the broker was lost ({type(error).__name__}) and is started again"
                ) from error
            except asyncio.CancelledError:
                # Its answer would be taken for that of the next request.
                await self._end()
                raise

    async def _connected(self) -> BrokerStream:
        if self._stream is not None and not self._stream.is_quiet:
            log.warning("broker with pid %s has ended by itself", self.pid)
            await self._end()
        if self._stream is None:
            forked = await self._zygote.fork()
            self.starts += 1
            self.pid, self._stream = forked.pid, BrokerStream(forked.connection)
            log.info("broker started with pid %d", self.pid)
        return self._stream

    async def _end(self) -> None:
        """Have the broker killed with what it runs; without a request it does nothing else."""
        pid, stream, self.pid, self._stream = self.pid, self._stream, None, None
        if stream is not None:
            stream.connection.close()
        if pid is not None:
            with contextlib.suppress(ZygoteLostError):
                await self._zygote.end(pid)


def _opened(
    reply: Opened, kinds: Iterable[SocketKind], descriptors: Iterable[int]
) -> OpenedSockets:
    lists: dict[Family, int] = {}
    sockets = []
    for kind, descriptor in zip(kinds, descriptors, strict=True):
        if kind in LEGACY_LISTS:
            lists[LEGACY_LISTS[kind]] = descriptor
        else:
            sockets.append(_socket(kind, descriptor))
    return OpenedSockets(reply.sandbox, tuple(sockets), lists, reply.own_user_namespace)


def _socket(kind: SocketKind, descriptor: int) -> socket.socket:
    opened = socket.socket(*SOCKETS[kind], fileno=descriptor)
    opened.settimeout(0)
    return opened


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
