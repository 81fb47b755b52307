"""The agent as a plugin of the node's container runtime.

1. A node without NRI is no error: the absence of the socket is said once, and it is looked for
   every other second. That costs nothing, and it is how a restarted runtime is found again.
2. Whatever ends a session (the runtime restarts, drops us for being slow, says nonsense), another
   one is begun; if they keep ending, with growing pauses: each session of a plugin makes the
   runtime stop for a moment.
3. Each session begins with what the runtime has: nothing that happened in between is missed.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Final, NoReturn

from capture_agent.nri_calls import NriCalls, RegistrationRefusedError
from capture_agent.nri_handler import NriHandler
from capture_agent.retry_delays import RetryDelays
from capture_nri.errors import NriProtocolError
from capture_nri.session import PluginSession

SOCKET: Final = Path("/var/run/nri/nri.sock")
"""Where containerd and CRI-O listen by default."""
NAME: Final = "traffic-capture"
INDEX: Final = "10"
BUDGET: Final = 1.0
"""Seconds for the handler's answer; the runtime drops a plugin after two."""

LONGEST_ABSENCE: Final = 2.0
"""Seconds between two looks for a runtime: pods start without us until it is found."""
STEADY: Final = 10.0
"""Seconds; a session that lasted this long wasn't part of a row of failures."""

_CHUNK: Final = 1 << 16
_log = logging.getLogger(__name__)


class NriConnection:
    """Keeps the agent registered with the runtime; `run` it as a task of its own.

    `index`, two digits, is our place among the node's plugins: they are called in ascending order.

    Raises:
        ValueError: `index` isn't two digits.
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings, and seams for the tests
        self,
        handler: NriHandler,
        *,
        socket: Path = SOCKET,
        name: str = NAME,
        index: str = INDEX,
        budget: float = BUDGET,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if not (len(index) == len("00") and index.isascii() and index.isdigit()):
            raise ValueError(f"the NRI plugin index is two digits, 00 to 99, not {index!r}")
        self._handler = handler
        self._socket = socket
        self._name = name
        self._index = index
        self._budget = budget
        self._clock = clock
        self._sleep = sleep
        self._absences = RetryDelays()
        self._endings = RetryDelays()
        self._said: str | None = None

    async def run(self) -> NoReturn:
        """Connect, serve and connect again until cancelled."""
        while True:
            await self._sleep(await self._attempt())

    async def _attempt(self) -> float:
        """Serve one session, if there is a runtime; give the seconds to wait before the next."""
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket)
        except OSError as error:
            self._disconnected(f"no runtime at {self._socket}: {error.strerror or error}")
            return min(LONGEST_ABSENCE, self._absences.after_failure())
        self._absences.succeeded()
        self._said = None
        began = self._clock()
        with closing(writer):
            self._disconnected(await self._session(reader, writer))
        if self._clock() - began >= STEADY:
            self._endings.succeeded()
        return self._endings.after_failure()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """Serve one session; give the reason of its end."""
        try:
            await self._serve(reader, writer)
        except NriProtocolError as error:
            return f"the runtime doesn't speak NRI: {error}"
        except RegistrationRefusedError as error:
            return f"the runtime refused the plugin: {error}"
        except OSError as error:
            return f"the connection broke: {error.strerror or error}"
        return "the runtime closed the connection"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = PluginSession()
        calls = NriCalls(session, self._handler, self._budget)
        writer.write(session.register(self._name, self._index))
        while data := await reader.read(_CHUNK):
            for event in session.receive(data):
                writer.write(await calls.answer(event))
                await writer.drain()

    def _disconnected(self, why: str) -> None:
        if why != self._said:
            _log.info("NRI is not connected: %s", why)
            self._handler.disconnected(why)
        self._said = why
