"""When keys are due."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_operator.schedules import Backoff, Schedule


def schedule(quiet: float = 0.05, longest: float = 0.25) -> Schedule[str]:
    """Make a schedule whose jitter changes nothing."""
    return Schedule(quiet=quiet, longest=longest, backoff=Backoff(1.0, 30.0, lambda: 0.5))


def test_a_change_waits_for_more() -> None:
    """The first change is not handed out before the quiet time is over."""
    queue = schedule()
    queue.add("a", 10.0)
    assert queue.take(10.04) is None
    assert queue.take(10.05) == "a"


def test_a_stream_of_changes_cannot_postpone_a_key_for_ever() -> None:
    """No change waits longer than the longest delay."""
    queue = schedule()
    for step in range(10):
        queue.add("a", 10.0 + step * 0.04)
    assert queue.next_due() == pytest.approx(10.25)


def test_changes_of_a_key_are_one_piece_of_work() -> None:
    """They are coalesced."""
    queue = schedule()
    queue.add("a", 10.0)
    queue.add("a", 10.01)
    assert queue.take(11.0) == "a"
    assert queue.take(11.0) is None


def test_a_key_is_never_handed_out_twice_at_once() -> None:
    """A change while a worker has the key makes it due after that worker."""
    queue = schedule()
    queue.add("a", 10.0)
    assert queue.take(11.0) == "a"
    queue.add("a", 11.0)
    assert queue.take(20.0) is None
    queue.succeed("a", 20.0)
    assert queue.take(20.05) == "a"


def test_a_key_without_news_is_not_due_again() -> None:
    """Success ends it."""
    queue = schedule()
    queue.add("a", 10.0)
    queue.take(11.0)
    queue.succeed("a", 11.0)
    assert queue.next_due() is None


def test_a_key_may_ask_to_be_looked_at_again() -> None:
    """Time alone may change what is to be done."""
    queue = schedule()
    queue.add("a", 10.0)
    queue.take(11.0)
    queue.succeed("a", 11.0, recheck_after=5.0)
    assert queue.next_due() == 16.0


def test_a_change_comes_before_a_later_recheck() -> None:
    """Waiting for a time does not delay the reaction to a change."""
    queue = schedule()
    queue.add("a", 10.0)
    queue.take(11.0)
    queue.succeed("a", 11.0, recheck_after=5.0)
    queue.add("a", 12.0)
    assert queue.take(12.05) == "a"


def test_a_change_does_not_delay_an_earlier_recheck() -> None:
    """The earlier of the two counts."""
    queue = schedule(quiet=10.0, longest=10.0)
    queue.add("a", 0.0)
    queue.take(10.0)
    queue.succeed("a", 10.0, recheck_after=1.0)
    queue.add("a", 10.5)
    assert queue.take(11.0) == "a"


def test_failures_in_a_row_wait_longer_and_longer() -> None:
    """1, 2, 4 seconds, up to the longest."""
    queue = schedule()
    delays = []
    now = 0.0
    queue.add("a", now)
    for _ in range(7):
        now = queue.next_due() or now
        assert queue.take(now) == "a"
        delays.append(queue.fail("a", now))
    assert delays == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_change_does_not_shorten_the_wait_after_a_failure() -> None:
    """A key that keeps changing must not make us hammer the API server."""
    queue = schedule()
    queue.add("a", 0.0)
    queue.take(1.0)
    queue.fail("a", 1.0)
    queue.add("a", 1.1)
    assert queue.take(1.9) is None
    assert queue.take(2.0) == "a"


def test_success_forgets_failures() -> None:
    """The next failure starts over."""
    queue = schedule()
    queue.add("a", 0.0)
    for now in (1.0, 10.0):
        queue.take(now)
        queue.fail("a", now)
    queue.take(20.0)
    queue.succeed("a", 20.0)
    queue.add("a", 21.0)
    queue.take(22.0)
    assert queue.fail("a", 22.0) == 1.0


def test_jitter_spreads_equal_delays() -> None:
    """Half to one and a half times the delay."""
    assert Backoff(2.0, 30.0, lambda: 0.0).delay(1) == 1.0
    assert Backoff(2.0, 30.0, lambda: 1.0).delay(1) == 3.0


steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "take", "succeed", "fail", "recheck"]),
        st.sampled_from("abc"),
        st.floats(0.0, 2.0),
    ),
    max_size=60,
)


@given(steps)
def test_no_change_is_ever_lost(script: list[tuple[str, str, float]]) -> None:
    """Whatever happens in between, a key that changed is handed out after the change."""
    queue = schedule()
    now, changed, active = 0.0, set[str](), set[str]()
    for action, key, pause in script:
        now += pause
        if action == "add":
            queue.add(key, now)
            changed.add(key)
        elif action == "take":
            taken = queue.take(now)
            if taken is not None:
                assert taken not in active
                active.add(taken)
                changed.discard(taken)
        elif key in active:
            active.discard(key)
            if action == "fail":
                queue.fail(key, now)
                changed.add(key)
            else:
                queue.succeed(key, now, recheck_after=1.0 if action == "recheck" else None)
    for key in active:
        queue.succeed(key, now)
    now += 1000.0
    while (taken := queue.take(now)) is not None:
        changed.discard(taken)
    assert not changed
