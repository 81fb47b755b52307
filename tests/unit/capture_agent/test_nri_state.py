"""What the status says of the runtime changes only when it does."""

from capture_agent.nri_state import told
from capture_api.node_captures import NriConnection

AWAY = NriConnection(connected=False, since="then")
THERE = NriConnection(connected=True, runtime="containerd", version="2.2.1", since="then")


def test_a_runtime_that_comes() -> None:
    """Since now, by its name."""
    after = told(AWAY, connected=True, runtime="containerd", version="2.2.1", now="now")
    assert after == NriConnection(
        connected=True, runtime="containerd", version="2.2.1", since="now"
    )


def test_a_runtime_that_goes_is_still_called_what_it_called_itself() -> None:
    """A person wants to know which one is away."""
    after = told(THERE, connected=False, runtime="", version="", now="now")
    assert after == NriConnection(
        connected=False, runtime="containerd", version="2.2.1", since="now"
    )


def test_what_is_said_again_has_been_so_since_it_was_said_first() -> None:
    """A runtime that refuses us does so at every attempt."""
    assert told(AWAY, connected=False, runtime="", version="", now="now") == AWAY
    assert told(THERE, connected=True, runtime="", version="", now="now") == THERE
