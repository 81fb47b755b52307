"""A container runtime at a real Unix socket, with nothing between it and the system calls.

It waits for each answer without an event loop: what is measured is the plugin's time.
"""

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unit.capture_nri.runtime_side import Said, configure, registered, said, synchronize

_PATIENCE = 60.0
_HEADER = struct.Struct(">II")


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """Listen at a path for the block; nothing is left there afterwards."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.settimeout(_PATIENCE)
        listener.listen()
        try:
            yield listener
        finally:
            path.unlink()


@dataclass(slots=True)
class BareRuntime:
    """One connection of a plugin, from the runtime's end."""

    connection: socket.socket
    stream: int = -1

    @classmethod
    def accepted(cls, listener: socket.socket) -> "BareRuntime":
        """Take in the next plugin: registration, configuration, synchronization with no pods.

        Raises:
            TimeoutError: none comes, or it does not answer.
        """
        connection, _ = listener.accept()
        connection.settimeout(_PATIENCE)
        runtime = cls(connection)
        runtime._hear()
        connection.sendall(registered())
        runtime.ask(configure(runtime.next_stream()))
        runtime.ask(synchronize(runtime.next_stream()))
        return runtime

    def next_stream(self) -> int:
        """Number the next call."""
        self.stream += 2
        return self.stream

    def ask(self, call: bytes) -> bytes:
        """Make a call and wait for the answer, which is not looked at.

        Raises:
            TimeoutError: there is none.
        """
        self.connection.sendall(call)
        return self._hear()

    def refusal(self, answer: bytes) -> str:
        """Give the text of an answer that refuses, "" for another.

        Raises:
            RuntimeError: it is the answer to another call.
        """
        (heard,) = said(answer)
        if heard.stream != self.stream:
            raise RuntimeError(f"stream {heard.stream} was answered instead of {self.stream}")
        return _text(heard)

    def _hear(self) -> bytes:
        header = self.connection.recv(_HEADER.size, socket.MSG_WAITALL)
        _, size = _HEADER.unpack(header)
        return header + self.connection.recv(size, socket.MSG_WAITALL)


def _text(heard: Said) -> str:
    status = heard.answer.status
    return status.message if status.code else ""
