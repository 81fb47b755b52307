"""What the commands print: one line per step, with the time that a long one took."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

MINUTE = 60


def say(message: str) -> None:
    """Print one line to stderr, so that stdout holds only what a command found out."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def step(message: str) -> Iterator[None]:
    """Print the message, then, if the block took a second or more, how long it took."""
    say(f"· {message}")
    started = time.monotonic()
    yield
    seconds = time.monotonic() - started
    if seconds >= 1:
        say(f"  done in {duration(seconds)}")


def duration(seconds: float) -> str:
    """Render a time as a person would say it: `4.2 s`, `3 min 05 s`."""
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), MINUTE)
    return f"{minutes} min {rest:02d} s"
