"""The agent's capabilities, for what a test does in its place."""

import contextlib
from collections.abc import Iterator

from capture_agent.capabilities import AGENT, held, mask
from capture_agent.linux_calls import capset


@contextlib.contextmanager
def as_the_agent() -> Iterator[None]:
    """Have no other capabilities than the agent's during the block; programs that are run do.

    The broker has its own in any case: the zygote sees to that.
    """
    permitted = held()
    capset(effective=mask(AGENT), permitted=permitted, inheritable=0)
    try:
        yield
    finally:
        capset(effective=permitted, permitted=permitted, inheritable=0)
