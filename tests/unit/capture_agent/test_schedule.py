"""Names come due when their time has come; time in these tests is virtual."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from capture_agent.schedule import Schedule
from unit.capture_agent import virtual_time

NAMES = st.sampled_from("abc")
TIMES = st.integers(0, 50).map(lambda each: 2 * each + 1)
PUTS = st.tuples(st.just("put"), NAMES, TIMES)
DROPS = st.tuples(st.just("drop"), NAMES, st.just(0))
Steps = list[tuple[int, tuple[str, str, int]]]


def scheduled(steps: Steps) -> list[tuple[float, str]]:
    """Do steps, each after a pause, and note what comes due when."""
    rung: list[tuple[float, str]] = []

    async def scenario() -> None:
        schedule = Schedule(lambda name: rung.append((virtual_time.now(), name)))
        for pause, (what, name, when) in steps:
            await asyncio.sleep(pause)
            if what == "put":
                schedule.put(name, virtual_time.now() + when)
            else:
                schedule.drop(name)
        await asyncio.sleep(100)

    virtual_time.run(scenario)
    return rung


def expected(steps: Steps) -> list[tuple[float, str]]:
    """Say the same by looking at every name again and again."""
    rung: list[tuple[float, str]] = []
    due: dict[str, float] = {}
    now = 0.0

    def pass_time(until: float) -> None:
        for name, when in sorted(due.items()):
            if when < until:
                rung.append((when, name))
                del due[name]

    for pause, (what, name, when) in steps:
        now += pause
        pass_time(now)
        if what == "put":
            due[name] = min(now + when, due.get(name, now + when))
        else:
            due.pop(name, None)
    pass_time(now + 100)
    return rung


# No step at the moment at which a name is due: which of them comes first is nobody's promise.
STEPS = st.lists(st.tuples(st.integers(0, 9).map(lambda each: 2 * each), PUTS | DROPS), max_size=30)


@given(STEPS)
def test_names_are_due_as_soon_as_anybody_asked_for_and_never_after_a_drop(steps: Steps) -> None:
    """A later wish never undoes an earlier one: what it was for would be forgotten."""
    assert sorted(scheduled(steps)) == sorted(expected(steps))


def test_a_thousand_wishes_for_one_name_are_one() -> None:
    """What is asked for again and again takes no memory."""

    async def scenario() -> int:
        schedule = Schedule(lambda _: None)
        for each in range(1000):
            schedule.put("a", 1000 - each)
        return len(schedule._timers)

    assert virtual_time.run(scenario) == 1
