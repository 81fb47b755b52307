"""When a node that runs is started again, and when it is let alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from local_cluster import up
from local_cluster.checkout import Checkout
from local_cluster.node import Node

NODE = Node(1)
RUNNING = '{"phase": "running", "parts": {"etcd": {"pid": 7}}}'
ENDED = '{"phase": "running", "parts": {"etcd": {"ended": "signal 9"}}}'


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """Return a checkout whose node has been started; nobody waits between two looks."""
    monkeypatch.setattr(up, "POLL_SECONDS", 0.0)
    checkout = Checkout(tmp_path)
    checkout.node(NODE).path.mkdir(parents=True)
    return checkout


def test_a_busy_node_gets_the_time_to_answer(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is whole when it answers the third time."""
    checkout.node(NODE).parts.write_text(RUNNING)
    monkeypatch.setattr("local_cluster.health.is_ready", _answers([False, False, True]))

    assert up.ailment(checkout, NODE) is None


def test_a_node_that_lost_a_part_is_not_whole(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although it still takes pods; the part is named."""
    checkout.node(NODE).parts.write_text(ENDED)
    monkeypatch.setattr("local_cluster.health.is_ready", _answers([True]))

    assert up.ailment(checkout, NODE) == "node1: etcd ended with signal 9"


def test_a_node_that_never_answers_is_not_whole(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait has an end."""
    monkeypatch.setattr(up, "ANSWER_SECONDS", 0.0)
    checkout.node(NODE).parts.write_text(RUNNING)
    monkeypatch.setattr("local_cluster.health.is_ready", lambda _checkout, _node: False)

    assert up.ailment(checkout, NODE) == "node1: not Ready, or the API server doesn't say so"


def _answers(answers: list[bool]) -> Callable[[Checkout, Node], bool]:
    remaining = iter(answers)
    return lambda _checkout, _node: next(remaining)
