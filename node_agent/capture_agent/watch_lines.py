"""A watch is a stream of JSON lines in chunks of any size; this finds the lines."""

from typing import Final

MAX_LINE: Final = 8 * 1024 * 1024
"""Bytes in one event: etcd refuses objects above 1.5 MiB, so this is never an object of ours."""


class LineTooLongError(Exception):
    """More bytes without a line's end than any event has."""


class LineSplitter:
    """Splits a stream into lines, whatever the sizes of its chunks.

    aiohttp's `readline` ends at 64 KiB; one event can be twenty times that.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next chunk and give the lines that it completes, without their ends.

        Raises:
            LineTooLongError: a line has more bytes than the limit.
        """
        *ends, rest = chunk.split(b"\n")
        lines = [bytes(self._rest) + ends[0], *ends[1:]] if ends else []
        if ends:
            self._rest = bytearray()
        self._rest += rest
        if max(map(len, (*lines, self._rest))) > self._limit:
            raise LineTooLongError(f"an event of more than {self._limit} bytes")
        return [line for line in lines if line]
