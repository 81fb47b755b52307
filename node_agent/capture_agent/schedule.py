"""When each pod is to be examined next."""

import asyncio
from collections.abc import Callable


class Schedule:
    """Names with due times (seconds of `monotonic`); the one that is due first comes first."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._due: dict[str, float] = {}
        self._changed = asyncio.Event()

    def put(self, name: str, delay: float) -> None:
        """Make a name due in `delay` seconds, or sooner if that was asked for already."""
        due = self._monotonic() + delay
        self._due[name] = min(due, self._due.get(name, due))
        self._changed.set()

    def drop(self, name: str) -> None:
        """Make a name never due."""
        self._due.pop(name, None)

    async def take(self) -> str:
        """Wait for the next name that is due, and take it out."""
        while True:
            self._changed.clear()
            name = min(self._due, key=self._due.__getitem__, default=None)
            delay = None if name is None else self._due[name] - self._monotonic()
            if name is not None and delay is not None and delay <= 0:
                del self._due[name]
                return name
            try:
                async with asyncio.timeout(delay):
                    await self._changed.wait()
            except TimeoutError:
                continue
