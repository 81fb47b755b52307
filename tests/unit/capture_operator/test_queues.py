"""Workers on a queue."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from capture_operator.api import ApiError, ConflictError
from capture_operator.queues import WorkQueue
from capture_operator.schedules import Backoff, Schedule

Work = Callable[[str], Awaitable[float | None]]


def queue() -> WorkQueue[str]:
    """Make a queue without delays."""
    backoff = Backoff(0.0, 0.0, lambda: 0.0)
    schedule: Schedule[str] = Schedule(quiet=0.0, longest=0.0, backoff=backoff)
    return WorkQueue("test", schedule, asyncio.get_running_loop().time)


async def run_until(done: asyncio.Event, queue: WorkQueue[str], work: Work) -> None:
    """Run two workers until an event, at most 20 s."""
    running = asyncio.create_task(queue.run(work, workers=2))
    async with asyncio.timeout(20):
        await done.wait()
    running.cancel()
    await asyncio.wait({running})


async def test_keys_are_worked_on() -> None:
    """Also one that is added while the queue waits."""
    done, keys, waiting = asyncio.Event(), [], queue()

    async def work(key: str) -> None:
        keys.append(key)
        if key == "first":
            asyncio.get_running_loop().call_soon(waiting.add, "second")
        else:
            done.set()

    waiting.add("first")
    await run_until(done, waiting, work)
    assert keys == ["first", "second"]


async def test_one_key_is_never_worked_on_by_two() -> None:
    """Although there are two workers."""
    done, active, most = asyncio.Event(), 0, 0
    waiting = queue()
    rounds = iter(range(5))

    async def work(key: str) -> None:
        nonlocal active, most
        active += 1
        most = max(most, active)
        waiting.add(key)
        await asyncio.sleep(0)
        active -= 1
        if next(rounds, None) is None:
            done.set()

    waiting.add("a")
    await run_until(done, waiting, work)
    assert most == 1


async def test_two_keys_are_worked_on_at_once() -> None:
    """One that waits for the API server does not hold up another."""
    done, waiting = asyncio.Event(), queue()
    meeting = asyncio.Barrier(2)

    async def work(_key: str) -> None:
        await meeting.wait()
        done.set()

    waiting.add("a")
    waiting.add("b")
    await run_until(done, waiting, work)


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (ConflictError("changed"), logging.DEBUG),
        (ApiError("away"), logging.WARNING),
        (KeyError("a bug"), logging.ERROR),
    ],
)
async def test_what_failed_is_tried_again(
    error: Exception, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    """And logged as loudly as it deserves."""
    caplog.set_level(logging.DEBUG, "capture_operator.queues")
    done, waiting, attempts = asyncio.Event(), queue(), []

    async def work(key: str) -> None:
        attempts.append(key)
        if len(attempts) == 1:
            raise error
        done.set()

    waiting.add("a")
    await run_until(done, waiting, work)
    assert len(attempts) == 2
    assert [record.levelno for record in caplog.records] == [level]


async def test_a_key_comes_back_when_it_asked_to() -> None:
    """The work says after how many seconds."""
    done, waiting, rounds = asyncio.Event(), queue(), []

    async def work(key: str) -> float | None:
        rounds.append(key)
        if len(rounds) == 2:
            done.set()
        return 0.0 if len(rounds) == 1 else None

    waiting.add("a")
    await run_until(done, waiting, work)
    assert len(rounds) == 2
