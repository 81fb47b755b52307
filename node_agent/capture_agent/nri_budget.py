"""Time for a handler, and not more: what it does can't hold up the runtime."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_log = logging.getLogger(__name__)


class UndecidedError(Exception):
    """There is no result: why."""


async def within(budget: float, work: Coroutine[Any, Any, T]) -> T:
    """Wait at most this many seconds for a result.

    Work that isn't done by then is cancelled, but not waited for: it may not heed that.

    Raises:
        UndecidedError: the work raised, was cancelled or took too long.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=budget)
    finally:
        task.cancel()
    if not done:
        task.add_done_callback(_retrieve)
        raise UndecidedError(f"not done within {budget:g} s")
    return _result(task)


def _result(task: asyncio.Task[T]) -> T:
    if task.cancelled():
        raise UndecidedError("cancelled")
    if (error := task.exception()) is not None:
        raise UndecidedError(f"{type(error).__name__}: {error}") from error
    return task.result()


def _retrieve(late: asyncio.Task[Any]) -> None:
    if not late.cancelled() and (error := late.exception()) is not None:
        _log.warning("failed after it was given up: %s: %s", type(error).__name__, error)
