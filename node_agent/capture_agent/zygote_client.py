"""The agent's end of the zygote: starts it, has brokers forked and ended, notices its end."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from capture_agent.broker_stream import readable
from capture_agent.zygote_protocol import FORK, NUMBER
from capture_api.node_captures import NetnsIdentity

_ANSWER_SECONDS: Final = 5.0
"""It answers in a millisecond, and kills what hangs within a second."""

_STOP_SECONDS: Final = 5.0
_CONTROL: Final = socket.CMSG_SPACE(NUMBER.size)


class ZygoteLostError(Exception):
    """The zygote has ended or hangs: no broker can be had, and the agent has to start anew."""


@dataclass(frozen=True, slots=True)
class Forked:
    """A broker that was just forked, and the agent's end of its stream."""

    pid: int
    connection: socket.socket


@dataclass(slots=True)
class Zygote:
    """Has brokers forked and ended, one request at a time; made by `started_zygote`.

    `host` is the network namespace of the node, which no broker enters.
    """

    host: NetnsIdentity
    process: subprocess.Popen[bytes]
    connection: socket.socket
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_lost(self) -> bool:
        """Whether its process has ended."""
        return self.process.poll() is not None

    @contextlib.contextmanager
    def watched(self, ended: Callable[[], object]) -> Iterator[None]:
        """Have `ended` called should the zygote end during the block."""
        loop = asyncio.get_running_loop()
        pidfd = os.pidfd_open(self.process.pid)

        def call_once() -> None:
            loop.remove_reader(pidfd)
            ended()

        loop.add_reader(pidfd, call_once)
        try:
            yield
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)

    async def fork(self) -> Forked:
        """Have a broker forked; its stream does not block.

        Raises:
            OSError: the kernel can't start one now.
            ZygoteLostError: there is no zygote any more.
        """
        asked = asyncio.ensure_future(self._asked(FORK))
        try:
            return _forked(*await asyncio.shield(asked))
        except asyncio.CancelledError:
            await self._undo(asked)
            raise

    async def end(self, pid: int) -> None:
        """Have a broker killed with all that it runs, and wait until they are gone.

        Raises:
            ZygoteLostError: there is no zygote any more; then there is no broker either.
        """
        # Shielded: an answer that nobody took would be taken for that of the next request.
        await asyncio.shield(asyncio.ensure_future(self._asked(pid)))

    async def _undo(self, asked: asyncio.Future[tuple[int, list[int]]]) -> None:
        with contextlib.suppress(OSError, ZygoteLostError):
            forked = _forked(*await asked)
            forked.connection.close()
            await self.end(forked.pid)

    async def _asked(self, request: int) -> tuple[int, list[int]]:
        async with self._turn:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    self.connection.send(NUMBER.pack(request))
                    await readable(self.connection.fileno())
                    return self._answer()
            except (OSError, EOFError) as error:
                self.process.kill()  # whatever it might say yet would answer another request
                raise ZygoteLostError(
                    "the zygote, which holds the agent's capabilities, has ended or hangs "
                    f"({type(error).__name__})"
                ) from error

    def _answer(self) -> tuple[int, list[int]]:
        flags = socket.MSG_CMSG_CLOEXEC
        packet, control, _, _ = self.connection.recvmsg(NUMBER.size, _CONTROL, flags)
        descriptors = [NUMBER.unpack(data)[0] for _, _, data in control]
        if len(packet) != NUMBER.size:
            raise EOFError("the zygote closed its socket")
        return NUMBER.unpack(packet)[0], descriptors


def _forked(pid: int, descriptors: list[int]) -> Forked:
    if pid < 0:
        raise OSError(-pid, f"no broker can be started: {os.strerror(-pid)}")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=descriptors[0])
    connection.settimeout(0)
    return Forked(pid, connection)


@contextlib.contextmanager
def started_zygote(host: NetnsIdentity) -> Iterator[Zygote]:
    """Start the zygote for the block, while this process still has all its capabilities.

    For the thread that lives as long as the process: the kernel ends the zygote with it.
    """
    ours, zygotes = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with zygotes:
            arguments = (zygotes.fileno(), os.getpid(), host.device, host.inode)
            process = subprocess.Popen(
                [sys.executable, "-I", "-m", "capture_agent.zygote", *map(str, arguments)],
                pass_fds=[zygotes.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # what is typed at a terminal is for the agent
            )
        ours.settimeout(0)
        with process:
            try:
                yield Zygote(host, process, ours)
            finally:
                ours.close()
                _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()  # its brokers go with it
