"""The agent's end of the broker: starts it, asks it, replaces it when it dies or hangs."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar

from capture_agent.broker_protocol import (
    LENGTH_SIZE,
    Done,
    Execute,
    Refusal,
    Refused,
    Reply,
    Request,
    Step,
    StepResult,
    body_length,
    decode_reply,
    frame,
)
from capture_agent.sandboxes import Sandbox
from capture_api.node_captures import NetnsIdentity

log = logging.getLogger(__name__)

R = TypeVar("R", bound=StepResult)

_HANG_SECONDS = 10.0
"""For all that a broker does besides running programs; one that takes longer is stuck."""

_STOP_SECONDS = 5.0
"""For an idle broker to end by itself."""


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


class Broker:
    """Runs steps in pods' network namespaces, one request at a time.

    An asynchronous context manager; the broker process is started by the first request. `host` is
    the network namespace of the node, which is never entered.
    """

    def __init__(self, host: NetnsIdentity, hang_seconds: float = _HANG_SECONDS) -> None:
        self._host = host
        self._hang_seconds = hang_seconds
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.starts = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._ended()
        except TimeoutError:
            await self._kill()

    async def run(self, sandbox: Sandbox, *steps: Step) -> tuple[StepResult, ...]:
        """Take steps in the sandbox's network namespace.

        Raises:
            SandboxRefusedError: the namespace is not the sandbox's, or a step failed.
            BrokerLostError: the broker died or hung; what of the steps happened is unknown.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(self._hang_seconds + _program_seconds(steps)):
                    reply = await self._ask(Request(sandbox, steps))
            except (OSError, EOFError, TimeoutError) as error:
                await self._kill()
                raise BrokerLostError(
                    f"the broker was lost ({type(error).__name__}) and is started again"
                ) from error
            except asyncio.CancelledError:
                # Its answer would be taken for that of the next request.
                await self._kill()
                raise
        match reply:
            case Done(results):
                return results
            case Refused(refusal, message):
                raise SandboxRefusedError(refusal, message)

    async def _ask(self, request: Request) -> Reply:
        reader, writer = await self._connected()
        writer.write(frame(request))
        await writer.drain()
        header = await reader.readexactly(LENGTH_SIZE)
        return decode_reply(await reader.readexactly(body_length(header)))

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._process is not None and self._process.returncode is not None:
            log.warning("broker with pid %d has ended by itself", self._process.pid)
            await self._kill()
        if self._streams is None:
            self._streams = await self._start()
        return self._streams

    async def _start(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ours, brokers = socket.socketpair()
        with contextlib.ExitStack() as unused, brokers:
            unused.callback(ours.close)
            arguments = (brokers.fileno(), self._host.device, self._host.inode)
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-m", "capture_agent.broker", *map(str, arguments),
                pass_fds=[brokers.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # killed together with what it runs
            )  # fmt: skip
            self.starts += 1
            log.info("broker started with pid %d", self._process.pid)
            streams = await asyncio.open_unix_connection(sock=ours)
            unused.pop_all()
        return streams

    def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()

    async def _ended(self) -> None:
        if self._streams is not None:
            with contextlib.suppress(OSError):
                await self._streams[1].wait_closed()
            self._streams = None
        if self._process is not None:
            await self._process.wait()
            self._process = None

    async def _kill(self) -> None:
        if self._process is not None:
            log.warning("broker with pid %d is killed", self._process.pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._close()
        await self._ended()


def _program_seconds(steps: Iterable[Step]) -> float:
    return sum(step.timeout for step in steps if isinstance(step, Execute))
