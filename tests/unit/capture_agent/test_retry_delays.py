"""Attempts back off, spread, and wait as long as they were asked to."""

from hypothesis import given
from hypothesis import strategies as st

from capture_agent.retry_delays import FIRST, LONGEST, LONGEST_ASKED, RetryDelays, retry_delay

JITTER = st.floats(min_value=0, max_value=1, exclude_max=True)
FAILURES = st.integers(min_value=1, max_value=10_000)


@given(FAILURES, JITTER)
def test_a_delay_is_never_short_and_never_endless(failures: int, jitter: float) -> None:
    """Whatever the number of failures, the delay stays between half the first and the longest."""
    assert FIRST / 2 <= retry_delay(failures, jitter) <= LONGEST


@given(FAILURES, JITTER)
def test_delays_do_not_shrink(failures: int, jitter: float) -> None:
    """One more failure never means a shorter delay."""
    assert retry_delay(failures, jitter) <= retry_delay(failures + 1, jitter)


@given(FAILURES, JITTER, st.floats(min_value=0, max_value=1e9))
def test_what_the_server_asked_for_is_the_least(
    failures: int, jitter: float, retry_after: float
) -> None:
    """Retry-After is honoured in full, up to a bound."""
    assert retry_delay(failures, jitter, retry_after) >= min(retry_after, LONGEST_ASKED)


def test_a_server_cannot_ask_for_a_day() -> None:
    """A node isn't left unattended for a proxy's mistake."""
    assert retry_delay(1, 0.0, 86_400.0) == LONGEST_ASKED + 0.1


def test_jitter_spreads_over_half_the_interval() -> None:
    """Two agents that failed at once don't come back at once."""
    assert (retry_delay(3, 0.0), retry_delay(3, 0.5)) == (0.4, 0.6000000000000001)


def test_a_success_starts_over() -> None:
    """After a success the first delay comes first."""
    delays = RetryDelays(jitter=lambda: 0.0)
    first, second = delays.after_failure(), delays.after_failure()
    delays.succeeded()
    assert (first, second, delays.after_failure()) == (0.1, 0.2, 0.1)
