"""When each pod is to be examined next."""

import asyncio
from collections.abc import Callable


class Schedule:
    """Tells `due` each name once its time has come, by the event loop's clock.

    That loop keeps its timers in a heap and sweeps out what was cancelled: to put and to drop costs
    the same however many names there are.
    """

    def __init__(self, due: Callable[[str], None]) -> None:
        self._due = due
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def put(self, name: str, when: float) -> None:
        """Make a name due at this time, or earlier if that was asked for already."""
        timer = self._timers.get(name)
        if timer is None or when < timer.when():
            self.drop(name)
            self._timers[name] = asyncio.get_running_loop().call_at(when, self._ring, name)

    def drop(self, name: str) -> None:
        """Make a name never due."""
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _ring(self, name: str) -> None:
        del self._timers[name]
        self._due(name)
