"""The agent's end of a broker's stream: one request, one reply, and the descriptors with it."""

import array
import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from capture_agent.broker_protocol import (
    LENGTH_SIZE,
    MAX_DESCRIPTORS,
    FrameError,
    Reply,
    body_length,
    decode_reply,
)

_PART: Final = 1 << 20
_INT: Final = array.array("i").itemsize
_CONTROL: Final = socket.CMSG_SPACE(MAX_DESCRIPTORS * _INT)


@dataclass(frozen=True, slots=True)
class BrokerStream:
    """Asks a broker; `connection` is set not to block."""

    connection: socket.socket

    @property
    def is_quiet(self) -> bool:
        """Whether the broker is there and has said nothing that it was not asked."""
        try:
            self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    async def ask(self, request: bytes) -> tuple[Reply, list[int]]:
        """Send a framed request and wait for its reply; its descriptors are the caller's to close.

        Raises:
            OSError, EOFError: the broker has ended.
            FrameError: what it said is no reply; descriptors that came with it are closed.
        """
        await asyncio.get_running_loop().sock_sendall(self.connection, request)
        with _closed_on_error() as descriptors:
            header = await self._receive(LENGTH_SIZE, descriptors)
            body = await self._receive(body_length(header), descriptors)
            return decode_reply(body), descriptors

    async def _receive(self, size: int, descriptors: list[int]) -> bytes:
        received = bytearray()
        while len(received) < size:
            try:
                part = self._part(size - len(received), descriptors)
            except BlockingIOError:
                await readable(self.connection.fileno())
                continue
            if not part:
                raise EOFError("the broker closed its stream")
            received += part
        return bytes(received)

    def _part(self, size: int, descriptors: list[int]) -> bytes:
        part, control, flags, _ = self.connection.recvmsg(
            min(size, _PART), _CONTROL, socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, data in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.extend(array.array("i", data[: len(data) - len(data) % _INT]))
        if flags & socket.MSG_CTRUNC:
            raise FrameError(f"more than {MAX_DESCRIPTORS} descriptors came with a reply")
        return part


async def readable(descriptor: int) -> None:
    """Wait until there is something to read, or the end of it."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


@contextlib.contextmanager
def _closed_on_error() -> Iterator[list[int]]:
    descriptors: list[int] = []
    try:
        yield descriptors
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
