"""Names come out of the schedule when they are due."""

import asyncio

from capture_agent.schedule import Schedule
from unit.capture_agent import virtual_time


def test_what_is_due_first_comes_first() -> None:
    """And not before its time."""

    async def scenario() -> list[tuple[str, float]]:
        schedule = Schedule(virtual_time.now)
        for name, delay in (("c", 3), ("a", 0), ("b", 2)):
            schedule.put(name, delay)
        return [(await schedule.take(), virtual_time.now()) for _ in range(3)]

    assert virtual_time.run(scenario) == [("a", 0), ("b", 2), ("c", 3)]


def test_a_name_is_due_as_soon_as_anybody_asked_for_it() -> None:
    """A later wish never undoes an earlier one: what it was for would be forgotten."""

    async def scenario() -> tuple[str, float]:
        schedule = Schedule(virtual_time.now)
        schedule.put("a", 1)
        schedule.put("a", 5)
        return await schedule.take(), virtual_time.now()

    assert virtual_time.run(scenario) == ("a", 1)


def test_a_name_that_was_taken_is_due_when_it_is_put_again() -> None:
    """Its earlier time is spent."""

    async def scenario() -> float:
        schedule = Schedule(virtual_time.now)
        schedule.put("a", 0)
        await schedule.take()
        schedule.put("a", 5)
        await schedule.take()
        return virtual_time.now()

    assert virtual_time.run(scenario) == 5


def test_a_dropped_name_is_never_due() -> None:
    """Others still are."""

    async def scenario() -> tuple[str, float]:
        schedule = Schedule(virtual_time.now)
        schedule.put("a", 1)
        schedule.put("b", 2)
        schedule.drop("a")
        schedule.drop("unknown")
        return await schedule.take(), virtual_time.now()

    assert virtual_time.run(scenario) == ("b", 2)


def test_who_waits_hears_of_what_is_due_earlier() -> None:
    """Also while there is nothing at all to wait for."""

    async def scenario() -> list[tuple[str, float]]:
        schedule = Schedule(virtual_time.now)
        taken = []
        for name, delay, slower in (("a", 1, None), ("b", 1, "slow")):
            if slower:
                schedule.put(slower, 100)
            waiting = asyncio.create_task(schedule.take())
            await asyncio.sleep(1)
            schedule.put(name, delay)
            taken.append((await waiting, virtual_time.now()))
        return taken

    assert virtual_time.run(scenario) == [("a", 2), ("b", 4)]
