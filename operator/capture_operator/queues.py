"""Queues of keys: workers that take what a `Schedule` says is due."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from capture_operator.api import ApiError, ConflictError
from capture_operator.schedules import Schedule

K = TypeVar("K")

Work = Callable[[K], Awaitable[float | None]]
"""Brings one key up to date; returns after how many seconds to look again, if time matters."""

_log = logging.getLogger(__name__)


class WorkQueue(Generic[K]):
    """One kind of work, by key.

    Args:
        name: what the log calls it.
        schedule: decides when a key is due.
        clock: seconds, monotonic.
    """

    def __init__(self, name: str, schedule: Schedule[K], clock: Callable[[], float]) -> None:
        self._name = name
        self._schedule = schedule
        self._clock = clock
        self._wake = asyncio.Event()

    def add(self, key: K) -> None:
        """Note that a key's state changed."""
        self._schedule.add(key, self._clock())
        self._wake.set()

    async def run(self, work: Work[K], *, workers: int) -> None:
        """Work on due keys, at most `workers` at once, until cancelled."""
        free = asyncio.Semaphore(workers)
        async with asyncio.TaskGroup() as tasks:
            while True:
                await free.acquire()
                key = await self._next()
                tasks.create_task(self._process(key, work, free))

    async def _next(self) -> K:
        while (key := self._schedule.take(self._clock())) is None:
            self._wake.clear()
            due = self._schedule.next_due()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0, due - self._clock())):
                    await self._wake.wait()
        return key

    async def _process(self, key: K, work: Work[K], free: asyncio.Semaphore) -> None:
        try:
            recheck_after = await work(key)
        except Exception as error:  # noqa: BLE001 - one bad object must not end the operator
            self._log_failure(key, error, self._schedule.fail(key, self._clock()))
        else:
            self._schedule.succeed(key, self._clock(), recheck_after=recheck_after)
        finally:
            free.release()
            self._wake.set()

    def _log_failure(self, key: K, error: Exception, delay: float) -> None:
        if isinstance(error, ConflictError):
            _log.debug("%s of %s: %s; again in %.1f s", self._name, key, error, delay)
        elif isinstance(error, ApiError):
            _log.warning("%s of %s failed: %s; again in %.1f s", self._name, key, error, delay)
        else:
            _log.error("%s of %s failed; again in %.1f s", self._name, key, delay, exc_info=error)
