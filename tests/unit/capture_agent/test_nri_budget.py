"""A handler has its time, and whatever it does with it ends there."""

import asyncio
import gc
import logging

import pytest

from capture_agent.nri_budget import UndecidedError, within

LONG = 60.0
SHORT = 0.001


async def forever() -> None:
    """Wait for what never comes."""
    await asyncio.get_running_loop().create_future()


async def test_a_result_in_time_is_the_result() -> None:
    """The usual case."""

    async def decide() -> str:
        await asyncio.sleep(0)
        return "no"

    assert await within(LONG, decide()) == "no"


async def test_what_is_raised_is_the_reason() -> None:
    """With its type, and as the cause."""

    async def fail() -> None:
        raise ValueError("nonsense")

    with pytest.raises(UndecidedError, match="ValueError: nonsense") as caught:
        await within(LONG, fail())
    assert isinstance(caught.value.__cause__, ValueError)


async def test_a_handler_that_cancels_itself_does_not_cancel_us() -> None:
    """A cancelled future inside it is its own affair."""

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(UndecidedError, match="cancelled"):
        await within(LONG, cancelled())


async def test_what_takes_too_long_is_cancelled() -> None:
    """And told so."""
    ended = asyncio.Event()

    async def dawdle() -> None:
        try:
            await forever()
        finally:
            ended.set()

    with pytest.raises(UndecidedError, match=r"not done within 0\.001 s"):
        await within(SHORT, dawdle())
    await ended.wait()


async def test_what_does_not_heed_its_cancellation_is_not_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What it raises in the end is said, not lost."""
    release = asyncio.Event()

    async def stubborn() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            await release.wait()
        raise ValueError("too late")

    with pytest.raises(UndecidedError):
        await within(SHORT, stubborn())
    with caplog.at_level(logging.WARNING):
        release.set()
        while not caplog.records:  # noqa: ASYNC110 - the log has no event to wait for
            await asyncio.sleep(0)
    gc.collect()
    assert [record.getMessage() for record in caplog.records] == [
        "failed after it was given up: ValueError: too late"
    ]


async def test_when_we_are_cancelled_so_is_the_work() -> None:
    """An agent that ends leaves nothing running."""
    began, ended = asyncio.Event(), asyncio.Event()

    async def dawdle() -> None:
        began.set()
        try:
            await forever()
        finally:
            ended.set()

    waiting = asyncio.create_task(within(LONG, dawdle()))
    await began.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await ended.wait()
