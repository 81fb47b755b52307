"""Pods are looked at in turns; time in these tests is virtual."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from capture_agent.looks import SIDE_BY_SIDE, Looks, Next, Timing
from unit.capture_agent import virtual_time

INTERVAL = 5.0


@dataclass
class Pods:
    """Pods whose looks take as long as they are told to."""

    took: Callable[[str], float] = lambda _: 0.0
    then: Next = Next.NEVER
    began: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    going_on: set[str] = field(default_factory=set)
    most: int = 0
    """How many were looked at side by side."""
    looks: Looks = field(init=False)

    def __post_init__(self) -> None:
        """Begin with nothing due."""
        self.looks = Looks(self.look, Timing(virtual_time.now, lambda: 1.0, INTERVAL))

    async def look(self, uid: str) -> Next:
        """Look at a pod."""
        assert uid not in self.going_on, "two passes met in one namespace"
        self.began[uid].append(virtual_time.now())
        self.going_on.add(uid)
        self.most = max(self.most, len(self.going_on))
        try:
            await asyncio.sleep(self.took(uid))
        finally:
            self.going_on.remove(uid)
        return self.then


def play(pods: Pods, script: Callable[[Looks], Awaitable[None]]) -> Pods:
    """Have pods looked at while a script asks for looks."""

    async def scenario() -> None:
        task = asyncio.create_task(pods.looks.run())
        await asyncio.sleep(0)
        await script(pods.looks)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    virtual_time.run(scenario)
    return pods


def test_a_pod_that_is_disturbed_during_its_long_look_takes_nobodys_place() -> None:
    """However often that is: the others are looked at at once."""

    async def script(looks: Looks) -> None:
        looks.at_once("hangs")
        for _ in range(2 * SIDE_BY_SIDE):
            await asyncio.sleep(1)
            looks.at_once("hangs")
        looks.at_once("other")
        await asyncio.sleep(100)

    began = play(Pods(lambda uid: 50.0 if uid == "hangs" else 0.0), script).began
    assert began == {"hangs": [0, 50], "other": [2 * SIDE_BY_SIDE]}


def test_a_pod_whose_looks_take_long_is_not_looked_at_each_time_that_it_is_disturbed() -> None:
    """It has had its share; what the operator wants of it is another matter."""

    async def script(looks: Looks) -> None:
        for _ in range(40):
            looks.disturbed("huge")
            looks.disturbed("small")
            await asyncio.sleep(1)
        looks.at_once("huge")
        await asyncio.sleep(1)

    began = play(Pods(lambda uid: 2.0 if uid == "huge" else 0.0), script).began
    assert began["huge"] == [0, 20, 40]
    assert began["small"] == [*range(40)]


def test_what_is_due_before_anybody_looks_is_looked_at_then() -> None:
    """A dispatch may come first."""
    pods = Pods()

    async def scenario() -> None:
        pods.looks.at_once("a")
        await asyncio.sleep(3)
        task = asyncio.create_task(pods.looks.run())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        pods.looks.at_once("b")
        await asyncio.sleep(1)

    virtual_time.run(scenario)
    assert pods.began == {"a": [3]}, "and nothing any more after the end"


def test_a_look_that_is_asked_for_beside_others_waits_for_no_place() -> None:
    """The runtime waits for it; it only waits for the look at the same pod."""

    async def script(looks: Looks) -> None:
        for each in range(SIDE_BY_SIDE):
            looks.at_once(f"hangs {each}")
        await asyncio.sleep(1)
        await looks.now("starts")
        await looks.now("hangs 0")

    began = play(Pods(lambda uid: 10.0 if uid.startswith("hangs") else 0.0), script).began
    assert (began["starts"], began["hangs 0"]) == ([1], [0, 10])


def test_a_look_that_is_given_up_leaves_the_turn_to_the_next() -> None:
    """The runtime's patience has an end."""

    async def script(looks: Looks) -> None:
        starting = asyncio.create_task(looks.now("a"))
        await asyncio.sleep(1)
        looks.at_once("a")
        starting.cancel()
        await asyncio.wait([starting])
        await asyncio.sleep(1)
        assert looks.longest == 1

    assert play(Pods(lambda _: 10.0), script).began["a"] == [0, 1]


def test_what_is_forgotten_is_not_looked_at_again() -> None:
    """Neither when it was due, nor what was asked for during its look."""

    async def script(looks: Looks) -> None:
        for each in range(SIDE_BY_SIDE):
            looks.at_once(f"{each}")
        looks.at_once("waits")
        looks.soon("planned")
        await asyncio.sleep(0.1)
        looks.at_once("0")
        for uid in ("0", "waits", "planned", "unknown"):
            looks.forget(uid)
        await asyncio.sleep(10)

    began = play(Pods(lambda _: 1.0), script).began
    assert began == {f"{each}": [0] for each in range(SIDE_BY_SIDE)}


def test_quiet_pods_are_due_together() -> None:
    """To wake up for each costs more than the looks."""

    async def script(looks: Looks) -> None:
        for each in range(3):
            looks.at_once(f"{each}")
            await asyncio.sleep(0.1)
        await asyncio.sleep(6)

    began = play(Pods(then=Next.QUIET), script).began
    assert [began["0"], began["1"], began["2"]] == [[0, 5], [0.1, 5.5], [0.2, 5.5]]


STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["at_once", "disturbed", "anew", "soon", "now", "forget"]),
        st.sampled_from("abcdef"),
    ),
    max_size=40,
)


@given(STEPS, st.lists(st.integers(0, 5), min_size=1))
def test_every_wish_is_heard_and_no_two_looks_meet(
    steps: list[tuple[int, str, str]], lasting: list[int]
) -> None:
    """Whatever is asked for, whenever: a look begins after each wish that nothing took back."""
    durations = iter(lasting * 100)
    asked: dict[str, float] = {}

    async def script(looks: Looks) -> None:
        async with asyncio.TaskGroup() as starts:
            for pause, what, uid in steps:
                await asyncio.sleep(pause)
                match what:
                    case "forget":
                        looks.forget(uid)
                        asked.pop(uid, None)
                    case "now":
                        starts.create_task(looks.now(uid))
                    case _:
                        getattr(looks, what)(uid)
                        asked[uid] = virtual_time.now()
        await asyncio.sleep(1000)

    pods = play(Pods(lambda _: float(next(durations, 0))), script)
    assert pods.looks._turns == {}, "nobody waits for ever"
    assert len(pods.looks._idle) == SIDE_BY_SIDE
    assert all(pods.began[uid] and pods.began[uid][-1] >= when for uid, when in asked.items())
    starts = sum(what == "now" for _, what, _ in steps)
    assert pods.most <= SIDE_BY_SIDE + starts


def test_a_look_whose_wait_was_cancelled_is_made_up_for_and_its_place_stays() -> None:
    """However many there are: neither the pod nor the agent was to stop."""
    cancelled = 2 * SIDE_BY_SIDE

    def took(uid: str) -> float:
        if uid == "cancelled" and len(pods.began[uid]) <= cancelled:
            raise asyncio.CancelledError
        return 0.0

    async def script(looks: Looks) -> None:
        looks.at_once("cancelled")
        await asyncio.sleep(100)
        looks.at_once("other")
        await asyncio.sleep(1)

    pods = Pods(took)
    play(pods, script)
    assert len(pods.began["cancelled"]) == cancelled + 1
    assert pods.began["other"] == [100.0]


def test_looks_that_wait_for_nothing_leave_the_others_their_turns() -> None:
    """A container runtime must not wait for the looks at all pods."""
    looked: list[str] = []

    async def look(uid: str) -> Next:
        looked.append(uid)
        return Next.NEVER

    async def scenario() -> None:
        looks = Looks(look, Timing(virtual_time.now, lambda: 1.0, INTERVAL))
        for number in range(10 * SIDE_BY_SIDE):
            looks.at_once(f"pod-{number}")
        task = asyncio.create_task(looks.run())
        turns = 0
        while len(looked) < 10 * SIDE_BY_SIDE:
            turns += 1
            await asyncio.sleep(0)
        task.cancel()
        assert turns >= 10

    virtual_time.run(scenario)
