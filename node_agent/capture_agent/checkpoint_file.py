"""The checkpoint's file on the node: replaced as a whole, and valid for one boot.

A network namespace's inode number means nothing after the next boot, nor does the monotonic clock.
It needs no fsync for the same reason.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from capture_agent.checkpoints import Checkpoint
from capture_api.wire import MalformedObjectError, decode, encode

log = logging.getLogger(__name__)

PAUSE: Final = 1.0
"""Seconds between two writes."""


class _Content(msgspec.Struct):
    boot_id: str
    checkpoint: Checkpoint


class CheckpointFile:
    """Keeps what `current` gives in a file; `run` it as a task of its own."""

    def __init__(
        self,
        path: Path,
        boot_id: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._path = path
        self._boot_id = boot_id
        self._sleep = sleep
        self._outdated = asyncio.Event()

    def read(self) -> Checkpoint:
        """Read what was kept; empty where it can't be read, or is of another boot."""
        try:
            content = decode(msgspec.json.decode(self._path.read_bytes()), _Content)
        except FileNotFoundError:
            return Checkpoint()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, MalformedObjectError) as error:
            log.warning("%s can't be read and is begun anew: %s", self._path, error)
            return Checkpoint()
        if content.boot_id != self._boot_id:
            log.warning("%s is of another boot of this node and is begun anew", self._path)
            return Checkpoint()
        return content.checkpoint

    def write(self, checkpoint: Checkpoint) -> None:
        """Replace what was kept.

        Raises:
            OSError: the file can't be written; it is as it was.
        """
        new = self._path.with_suffix(".new")
        content = _Content(self._boot_id, checkpoint)
        new.write_bytes(msgspec.json.encode(encode(content)))
        os.replace(new, self._path)  # noqa: PTH105 - its atomicity is the point

    def remove(self) -> None:
        """Leave nothing behind."""
        self._path.unlink(missing_ok=True)

    def outdated(self) -> None:
        """Say that there is something new to keep."""
        self._outdated.set()

    async def run(self, current: Callable[[], Checkpoint]) -> NoReturn:
        """Write what is new, until cancelled."""
        while True:
            await self._outdated.wait()
            self._outdated.clear()
            try:
                self.write(current())
            except OSError as error:
                log.warning("%s can't be written: %s", self._path, error.strerror)
            await self._sleep(PAUSE)
