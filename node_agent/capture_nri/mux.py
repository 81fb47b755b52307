"""Frames of the multiplexer that carries two connections over one stream.

A frame is a header of eight bytes, connection and length of the payload (both unsigned, big
endian), and the payload. A connection is a stream of bytes: frames cut it anywhere. Source:
containerd/nri, pkg/net/multiplex.
"""

import struct
from collections.abc import Iterator
from typing import Final

from capture_nri import ttrpc
from capture_nri.errors import NriProtocolError

PLUGIN: Final = 1
"""The connection on which the runtime calls the plugin."""
RUNTIME: Final = 2
"""The connection on which the plugin calls the runtime."""

MOST: Final = ttrpc.HEADER_SIZE + ttrpc.MOST
"""Bytes of payload; no frame is larger, since each carries at most one message."""

_HEADER: Final = struct.Struct(">II")
_RESERVED: Final = 0


def frame(connection: int, payload: bytes) -> bytes:
    """Wrap a payload for a connection."""
    return _HEADER.pack(connection, len(payload)) + payload


class Frames:
    """Cuts what is received into frames, and holds the last one until it is complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes as they were received."""
        self._buffer += data

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Give connection and payload of each complete frame.

        Raises:
            NriProtocolError: a header that no runtime sends.
        """
        while len(self._buffer) >= _HEADER.size:
            connection, length = _HEADER.unpack_from(self._buffer)
            _check(connection, length)
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield connection, payload


def _check(connection: int, length: int) -> None:
    if connection == _RESERVED:
        raise NriProtocolError("a frame for connection 0, which the multiplexer reserves")
    if length > MOST:
        raise NriProtocolError(f"a frame of {length} bytes, where at most {MOST} are allowed")
