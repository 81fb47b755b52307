"""A container runtime at a real Unix socket, as far as a plugin sees it."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from capture_nri import nri_pb2
from unit.capture_nri.runtime_side import (
    Said,
    call,
    configure,
    registered,
    run_pod_sandbox,
    said,
    state_change,
    synchronize,
)


class Plugin:
    """One connection of a plugin, from the runtime's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._stream = -1

    def stream(self) -> int:
        """Number the next call."""
        self._stream += 2
        return self._stream

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)

    async def hear(self) -> Said:
        """Wait for the next message of the plugin's."""
        header = await self._reader.readexactly(8)
        payload = await self._reader.readexactly(struct.unpack(">II", header)[1])
        (message,) = said(header + payload)
        return message

    async def ask(self, question: bytes) -> Said:
        """Make a call and wait for the answer to it."""
        self.send(question)
        answer = await self.hear()
        assert (answer.connection, answer.stream) == (1, self._stream)
        return answer

    async def greet(self, *pods: nri_pb2.PodSandbox) -> nri_pb2.RegisterPluginRequest:
        """Take the plugin in: registration, configuration, synchronization."""
        asked = await self.hear()
        self.send(registered())
        await self.ask(configure(self.stream()))
        await self.ask(synchronize(self.stream(), *pods))
        return nri_pb2.RegisterPluginRequest.FromString(asked.request.payload)

    async def starts(self, pod: nri_pb2.PodSandbox) -> str | None:
        """Tell of a pod's start; give the plugin's refusal."""
        status = (await self.ask(run_pod_sandbox(self.stream(), pod))).answer.status
        return status.message if status.code else None

    async def creates_container(self, pod: nri_pb2.PodSandbox) -> str | None:
        """Tell of the creation of a container in a pod; give the plugin's refusal."""
        body = nri_pb2.CreateContainerRequest(pod=pod)
        status = (await self.ask(call(self.stream(), "CreateContainer", body))).answer.status
        return status.message if status.code else None

    async def tells(self, moment: int, pod: nri_pb2.PodSandbox) -> str | None:
        """Tell of a moment in a sandbox's life; give the plugin's refusal."""
        status = (await self.ask(state_change(self.stream(), moment, pod))).answer.status
        return status.message if status.code else None

    async def is_closed(self) -> None:
        """Wait for the plugin to close the connection, without another word."""
        assert await self._reader.read(1) == b""

    def drop(self) -> None:
        """Close the connection."""
        self._writer.close()


class FakeRuntime:
    """Listens; a plugin that connects waits until the test takes it."""

    def __init__(self, listener: socket.socket, held: ExitStack) -> None:
        self._listener = listener
        self._held = held

    async def accept(self) -> Plugin:
        """Take the next plugin."""
        accepted, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        reader, writer = await asyncio.open_unix_connection(sock=accepted)
        self._held.callback(writer.close)
        return Plugin(reader, writer)


@asynccontextmanager
async def running_runtime(path: Path) -> AsyncIterator[FakeRuntime]:
    """Listen at a path, where nothing is left afterwards, nor any connection."""
    with socket.socket(socket.AF_UNIX) as listener, ExitStack() as held:
        listener.bind(str(path))
        held.callback(path.unlink)
        listener.settimeout(0.0)
        listener.listen()
        yield FakeRuntime(listener, held)
