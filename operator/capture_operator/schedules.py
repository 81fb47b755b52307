"""When each key is due: coalescing, re-checks, back-off. No I/O and no clock of its own.

1. A key is handed out to one worker at a time; what happens to it meanwhile is not lost.
2. The first change of a key waits `quiet` seconds for more, and each further one `quiet` again,
   but no change waits longer than `longest`.
3. A key that failed is due again after a delay that doubles with each failure in a row, and no
   change makes it due earlier.
4. A key may ask to be due at a certain time, whatever changes.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays after failures, in seconds: `first`, doubling to `longest`, each times 0.5 to 1.5."""

    first: float
    longest: float
    random: Callable[[], float]

    def delay(self, failures: int) -> float:
        """How long to wait after this many failures in a row (at least one)."""
        exponential = min(self.longest, self.first * 2.0 ** min(failures - 1, 30))
        return exponential * (0.5 + self.random())


class Schedule(Generic[K]):
    """Due times of keys; all times are those of the caller's clock, in seconds."""

    def __init__(self, *, quiet: float, longest: float, backoff: Backoff) -> None:
        self._quiet: Final = quiet
        self._longest: Final = longest
        self._backoff: Final = backoff
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = 0
        self._first_change: dict[K, float] = {}
        self._active: set[K] = set()
        self._changed_while_active: set[K] = set()
        self._failures: dict[K, int] = {}
        self._not_before: dict[K, float] = {}

    def add(self, key: K, now: float) -> None:
        """Note that something about a key changed."""
        if key in self._active:
            self._changed_while_active.add(key)
            return
        rechecked = self._due.get(key) if key not in self._first_change else None
        first = self._first_change.setdefault(key, now)
        due = max(min(now + self._quiet, first + self._longest), self._not_before.get(key, 0.0))
        self._set_due(key, due if rechecked is None else min(due, rechecked))

    def take(self, now: float) -> K | None:
        """Hand out a key that is due, the one that is due longest; None if none is."""
        if (due := self.next_due()) is None or due > now:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._due[key]
        self._first_change.pop(key, None)
        self._active.add(key)
        return key

    def next_due(self) -> float | None:
        """When the next key is due; None if nothing is scheduled."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # superseded by a later `_set_due`
        return self._heap[0][0] if self._heap else None

    def succeed(self, key: K, now: float, *, recheck_after: float | None = None) -> None:
        """Take a key back from its worker, due again after `recheck_after` seconds if given."""
        self._failures.pop(key, None)
        self._not_before.pop(key, None)
        self._return(key, now, None if recheck_after is None else now + recheck_after)

    def fail(self, key: K, now: float) -> float:
        """Take a key back that is to be tried again; returns after how many seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = self._backoff.delay(failures)
        self._not_before[key] = now + delay
        self._return(key, now, now + delay)
        return delay

    def _return(self, key: K, now: float, due: float | None) -> None:
        self._active.discard(key)
        if due is not None:
            self._set_due(key, due)
        if key in self._changed_while_active:
            self._changed_while_active.discard(key)
            self.add(key, now)

    def _set_due(self, key: K, due: float) -> None:
        self._due[key] = due
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, key))
