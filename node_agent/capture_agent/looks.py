"""When each pod of a node is looked at: the clockwork of `PodLoop`.

Goals:

* Whoever asks for a look at once is not kept waiting: it begins with the next turn of the event
  loop, if there is a place.
* One look at a pod at a time: no two passes can ever meet in one namespace. What is asked for
  during a look comes right after it, and takes no place meanwhile.
* A few pods are looked at side by side, in the order in which they became due, so that one whose
  tools hang keeps nobody waiting.
* A pod whose looks take long (its table is huge, its tools hang) waits the longer in between,
  however often it is disturbed: it may have a tenth of the time, the rest is for the others.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, cast

from capture_agent.schedule import Schedule

SOON: Final = 0.25
"""Seconds until a pod for which something is awaited is due again; doubles up to the interval."""

SIDE_BY_SIDE: Final = 4
"""Pods that are looked at side by side."""

_PAUSE: Final = 9
"""A pod is not looked at again for so many times as long as the look at it took."""

_LONG: Final = 0.05
"""Seconds; after a look that took longer, even a pod that is disturbed again has to wait."""

_TICKS: Final = 10
"""Moments within an interval at which quiet pods are due: to wake up costs more than a look."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How time is measured: seconds of the event loop's clock, and a random factor around 1."""

    monotonic: Callable[[], float]
    jitter: Callable[[], float]
    interval: float
    """Seconds between looks at a quiet pod."""


class Next(Enum):
    """When a pod is to be looked at again, if nobody asks earlier."""

    QUIET = auto()
    """After an interval."""
    AWAITED = auto()
    """Soon, and ever less often: something is missing that may come."""
    NEVER = auto()


Look = Callable[[str], Awaitable[Next]]
"""Looks at the pod with this UID."""


@dataclass(slots=True)
class _Turn:
    """The look at a pod that is going on or about to, and those who wait for its end."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted: int = 0
    """How many look or wait."""
    began: float | None = None
    again: Callable[[str], None] | None = None
    """What was asked for meanwhile."""


class Looks:
    """Has pods looked at when they are due, by their UIDs."""

    def __init__(self, look: Look, timing: Timing) -> None:
        self._look = look
        self._timing = timing
        self._schedule = Schedule(self.at_once)
        self._due: dict[str, None] = {}
        self._turns: dict[str, _Turn] = {}
        self._delays: dict[str, float] = {}
        self._rests: dict[str, float] = {}
        """Until when a pod whose last look took long is left alone."""
        self._idle: list[asyncio.Future[None]] = []
        """Of each place that is free, what wakes it."""

    @property
    def longest(self) -> float:
        """For how many seconds the longest look that is going on has lasted; 0 for none."""
        now = self._timing.monotonic()
        began = (turn.began for turn in self._turns.values())
        return max((now - each for each in began if each is not None), default=0.0)

    async def run(self) -> None:
        """Look at pods when they are due, for ever."""
        async with asyncio.TaskGroup() as places:
            for _ in range(SIDE_BY_SIDE):
                places.create_task(self._keep_looking())

    def at_once(self, uid: str) -> None:
        """Look at a pod now, or right after the look at it that is going on."""
        self._schedule.drop(uid)
        if (turn := self._turns.get(uid)) is not None:
            turn.again = self.at_once
            return
        self._due[uid] = None
        while self._idle:
            if not (awakened := self._idle.pop()).done():
                awakened.set_result(None)
                return

    def disturbed(self, uid: str) -> None:
        """Look at a pod in which something changed: at once, unless it has had its share."""
        rest = self._rests.get(uid, 0.0)
        if (turn := self._turns.get(uid)) is not None:
            turn.again = turn.again or self.disturbed
        elif rest > self._timing.monotonic():
            self._schedule.put(uid, rest)
        else:
            self.at_once(uid)

    def anew(self, uid: str) -> None:
        """Look at a pod at once, and be patient with it as if for the first time."""
        self._delays.pop(uid, None)
        self.at_once(uid)

    def soon(self, uid: str) -> None:
        """Look at a pod shortly."""
        self._schedule.put(uid, self._timing.monotonic() + SOON)

    def forget(self, uid: str) -> None:
        """Don't look at a pod any more; a look that is going on comes to its end."""
        self._schedule.drop(uid)
        self._due.pop(uid, None)
        self._delays.pop(uid, None)
        self._rests.pop(uid, None)
        if (turn := self._turns.get(uid)) is not None:
            turn.again = None

    async def now(self, uid: str) -> None:
        """Look at a pod beside all others, after the look at it that is going on."""
        await self._in_turn(uid, self._turn(uid))

    async def _keep_looking(self) -> None:
        while True:
            while self._due:
                uid = next(iter(self._due))
                del self._due[uid]
                try:
                    await self._in_turn(uid, self._turn(uid))
                except asyncio.CancelledError:
                    if cast("asyncio.Task[None]", asyncio.current_task()).cancelling():
                        raise
                    self.soon(uid)  # what it waited for was cancelled, not the pod nor its place
                await asyncio.sleep(0)  # few looks wait for anything, and others have their turn
            self._idle.append(awakened := asyncio.get_running_loop().create_future())
            await awakened

    def _turn(self, uid: str) -> _Turn:
        turn = self._turns.setdefault(uid, _Turn())
        turn.wanted += 1
        return turn

    async def _in_turn(self, uid: str, turn: _Turn) -> None:
        try:
            async with turn.lock:
                await self._timed(uid, turn)
        finally:
            turn.wanted -= 1
            if not turn.wanted:
                self._end(uid, turn)

    def _end(self, uid: str, turn: _Turn) -> None:
        del self._turns[uid]
        if turn.again is not None:
            turn.again(uid)

    async def _timed(self, uid: str, turn: _Turn) -> None:
        turn.again = None
        turn.began = began = self._timing.monotonic()
        try:
            then = await self._look(uid)
        finally:
            turn.began = None
        self._plan(uid, then, self._timing.monotonic() - began)

    def _plan(self, uid: str, then: Next, took: float) -> None:
        if then is not Next.AWAITED:
            self._delays.pop(uid, None)
        now = self._timing.monotonic()
        rest = now + _PAUSE * took
        self._rests.pop(uid, None)
        if took > _LONG:
            self._rests[uid] = rest
        if then is not Next.NEVER:
            when = self._awaited(uid, now) if then is Next.AWAITED else self._quiet(now)
            self._schedule.put(uid, max(when, rest))

    def _awaited(self, uid: str, now: float) -> float:
        delay = min(self._timing.interval, 2 * self._delays.get(uid, SOON / 2))
        self._delays[uid] = delay
        return now + delay * self._timing.jitter()

    def _quiet(self, now: float) -> float:
        tick = self._timing.interval / _TICKS
        return math.ceil((now + self._timing.interval * self._timing.jitter()) / tick) * tick
