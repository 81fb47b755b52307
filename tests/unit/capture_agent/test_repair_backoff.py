"""Repairs of one pod: at once, then after a delay that doubles, until it was quiet."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from capture_agent.repair_backoff import FIRST_DELAY, LONGEST_DELAY, QUIET, RepairBackoff


def test_the_first_repair_happens_at_once() -> None:
    """Nobody broke it before."""
    assert RepairBackoff().wait(0) == 0


def test_delays_double_up_to_half_a_minute() -> None:
    """As long as each repair is undone the moment that it was made."""
    now, backoff, waits = 1000.0, RepairBackoff(), []
    for _ in range(12):
        now += backoff.wait(now)
        backoff = backoff.after_repair(now)
        waits.append(round(backoff.wait(now), 6))
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, 30]


def test_after_a_quiet_minute_tampering_counts_as_new() -> None:
    """The next repair is at once, and the one after it after the first delay."""
    backoff = RepairBackoff(last_repair=100, delay=LONGEST_DELAY)
    assert backoff.wait(100 + LONGEST_DELAY - 1) == 1
    assert backoff.wait(100 + QUIET) == 0
    assert backoff.after_repair(100 + QUIET).delay == FIRST_DELAY


def test_time_spent_looking_counts_as_waited() -> None:
    """A look comes every few seconds, long after a short delay is over."""
    assert RepairBackoff(last_repair=100, delay=3).wait(102) == 1
    assert RepairBackoff(last_repair=100, delay=3).wait(105) == 0


@given(st.lists(st.floats(min_value=0, max_value=120), max_size=50))
def test_a_wait_is_never_longer_than_half_a_minute(pauses: list[float]) -> None:
    """However the tampering is spread over time."""
    backoff = RepairBackoff()
    for now in itertools.accumulate(pauses):
        assert 0 <= backoff.wait(now) <= LONGEST_DELAY
        if backoff.wait(now) == 0:
            backoff = backoff.after_repair(now)
