"""How long to wait before the next attempt: exponential, with jitter, and polite."""

import random
from collections.abc import Callable
from typing import Final

FIRST: Final = 0.2
LONGEST: Final = 30.0
LONGEST_ASKED: Final = 300.0
"""Seconds; a longer Retry-After is a proxy's mistake, and would leave a node unattended."""


def retry_delay(failures: int, jitter: float, retry_after: float | None = None) -> float:
    """Seconds to wait after this many failures in a row (at least 1).

    `jitter` in [0, 1) spreads the agents of a cluster over half the interval, so that an API server
    which comes back isn't met by all of them at once. What the server asked for is the least.
    """
    ceiling = min(LONGEST, FIRST * 2.0 ** min(failures - 1, 16))
    delay = ceiling * (0.5 + jitter / 2)
    return delay if retry_after is None else min(retry_after, LONGEST_ASKED) + delay


class RetryDelays:
    """Counts failures in a row and says how long to wait after each."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._failures = 0

    @property
    def failures(self) -> int:
        """How many attempts have failed since the last success."""
        return self._failures

    def after_failure(self, retry_after: float | None = None) -> float:
        """Count a failure; give the seconds to wait."""
        self._failures += 1
        return retry_delay(self._failures, self._jitter(), retry_after)

    def succeeded(self) -> None:
        """Start over."""
        self._failures = 0
