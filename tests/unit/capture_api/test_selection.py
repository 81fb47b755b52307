"""Which pods a capture selects, and which capture wins."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_api.selection import (
    LabelSelector,
    LabelSelectorRequirement,
    SelectorOperator,
    precedence,
    winner,
)
from capture_api.wire import decode
from unit.capture_api.values import labels, requirements, selectors

Labels = Mapping[str, str]


EVERY_POD = LabelSelector()


@dataclass(frozen=True)
class Rival:
    """What selection knows of a capture."""

    name: str = "a"
    priority: int = 0
    created: str = "2026-01-01T00:00:00Z"
    selector: LabelSelector = EVERY_POD


rivals = st.builds(
    Rival,
    name=st.sampled_from("abc"),
    priority=st.integers(-1, 1),
    created=st.sampled_from(["2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z"]),
    selector=st.sampled_from([EVERY_POD, LabelSelector(match_labels={"app": "a"})]),
)


@pytest.mark.parametrize(
    ("operator", "values", "selected"),
    [
        # (app=a), (app=""), (no app): as apimachinery's labels.Requirement.Matches decides
        ("In", ["a", "b"], [True, False, False]),
        ("In", [""], [False, True, False]),
        ("NotIn", ["a", "b"], [False, True, True]),
        ("NotIn", [""], [True, False, True]),
        ("Exists", [], [True, True, False]),
        ("DoesNotExist", [], [False, False, True]),
    ],
)
def test_operators_mean_what_they_mean_in_kubernetes(
    operator: str, values: list[str], selected: list[bool]
) -> None:
    """An empty value is a value; a pod without the label is `NotIn` every list."""
    row = {"key": "app", "operator": operator, "values": values}
    selector = decode({"matchExpressions": [row]}, LabelSelector)
    assert [selector.matches(pod) for pod in ({"app": "a"}, {"app": ""}, {})] == selected


@given(labels)
def test_an_empty_selector_selects_every_pod(pod: Labels) -> None:
    """No requirement, no exception."""
    assert LabelSelector().matches(pod)


@given(selectors, labels)
def test_a_selector_selects_when_each_part_does(selector: LabelSelector, pod: Labels) -> None:
    """Labels and expressions are all required."""
    parts = [
        *(LabelSelector(match_labels={key: value}) for key, value in selector.match_labels.items()),
        *(LabelSelector(match_expressions=(row,)) for row in selector.match_expressions),
    ]
    assert selector.matches(pod) == all(part.matches(pod) for part in parts)


@given(requirements, labels)
def test_the_opposite_operator_selects_the_other_pods(
    row: LabelSelectorRequirement, pod: Labels
) -> None:
    """Each operator has its complement."""
    opposite = {
        SelectorOperator.IN: SelectorOperator.NOT_IN,
        SelectorOperator.NOT_IN: SelectorOperator.IN,
        SelectorOperator.EXISTS: SelectorOperator.DOES_NOT_EXIST,
        SelectorOperator.DOES_NOT_EXIST: SelectorOperator.EXISTS,
    }[row.operator]
    other = LabelSelectorRequirement(key=row.key, operator=opposite, values=row.values)
    assert row.matches(pod) != other.matches(pod)


def test_the_highest_priority_wins() -> None:
    """Age and name don't matter then."""
    low, high = Rival("a", 1, "2025-01-01T00:00:00Z"), Rival("b", 2)
    assert winner([low, high], {}) == high


def test_the_older_wins_at_equal_priority() -> None:
    """The name does not matter then."""
    young, old = Rival("a"), Rival("b", created="2025-12-31T23:59:59Z")
    assert winner([young, old], {}) == old


def test_the_name_decides_at_equal_age() -> None:
    """Somebody has to win, and the same one on every node."""
    assert winner([Rival("b"), Rival("a")], {}) == Rival("a")


def test_a_capture_that_does_not_select_the_pod_cannot_win() -> None:
    """Priority counts among those that select."""
    elsewhere = Rival("a", 9, selector=LabelSelector(match_labels={"app": "api"}))
    assert winner([elsewhere, Rival("b")], {"app": "web"}) == Rival("b")
    assert winner([elsewhere], {"app": "web"}) is None


@given(st.lists(rivals, unique_by=lambda rival: rival.name).flatmap(st.permutations), labels)
def test_the_order_of_captures_does_not_matter(captures: list[Rival], pod: Labels) -> None:
    """The winner is the first by precedence of those that select."""
    selecting = sorted((c for c in captures if c.selector.matches(pod)), key=precedence)
    assert winner(captures, pod) == (selecting[0] if selecting else None)
