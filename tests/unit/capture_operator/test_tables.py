"""What is held, whatever the order in which it is heard of."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_operator.resources import ObjectKey
from capture_operator.tables import Identity, Table

KEY = ObjectKey("demo", "web")


def identity(version: int, uid: str = "1") -> Identity:
    """Name a version of one object, or of another with its name."""
    return Identity(KEY, uid, version)


def test_a_new_version_is_a_change() -> None:
    """With what was there before."""
    table: Table[str] = Table()
    table.put(identity(1), "old")
    change = table.put(identity(2), "new")
    assert change is not None
    assert (change.before, change.after) == ("old", "new")


def test_an_equal_value_is_no_change() -> None:
    """A version that differs in nothing we keep needs no work."""
    table: Table[str] = Table()
    table.put(identity(1), "same")
    assert table.put(identity(2), "same") is None


def test_an_older_version_is_ignored() -> None:
    """A listing may be older than an event."""
    table: Table[str] = Table()
    table.put(identity(2), "new")
    assert table.put(identity(1), "old") is None
    assert table.get(KEY) == "new"


def test_a_removed_object_does_not_come_back() -> None:
    """A listing that began before the deletion still has it."""
    table: Table[str] = Table()
    table.put(identity(1), "old")
    table.remove(identity(3))
    assert table.put(identity(2), "older") is None
    assert table.get(KEY) is None


def test_a_successor_of_the_same_name_is_not_removed_with_its_predecessor() -> None:
    """The watches deliver the events of different UIDs in any order."""
    table: Table[str] = Table()
    table.put(identity(1, "1"), "old")
    table.put(identity(4, "2"), "new")
    assert table.remove(identity(3, "1")) is None
    assert table.get(KEY) == "new"


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_any_order_of_events_ends_the_same(order: tuple[int, ...]) -> None:
    """An object that is replaced by another of its name, told in any order."""
    table: Table[str] = Table()
    steps = [
        lambda: table.put(identity(1, "1"), "first"),
        lambda: table.put(identity(2, "1"), "changed"),
        lambda: table.remove(identity(3, "1")),
        lambda: table.put(identity(4, "2"), "second"),
    ]
    for index in order:
        steps[index]()
    assert table.get(KEY) == "second"


@given(st.permutations(range(1, 8)))
def test_the_newest_version_wins(versions: list[int]) -> None:
    """In any order."""
    table: Table[int] = Table()
    for version in versions:
        table.put(identity(version), version)
    assert table.get(KEY) == 7


def test_keys_heard_of_during_a_listing_are_noted() -> None:
    """Whether they were put or removed, whether that changed anything or not."""
    table: Table[str] = Table()
    table.put(Identity(ObjectKey("", "before"), "1", 1), "before")
    with table.noting_keys() as heard_of:
        table.put(Identity(ObjectKey("", "put"), "2", 2), "put")
        table.put(Identity(ObjectKey("", "put"), "2", 1), "older")
        table.remove(Identity(ObjectKey("", "removed"), "3", 3))
    table.put(Identity(ObjectKey("", "after"), "4", 4), "after")
    assert heard_of == {ObjectKey("", "put"), ObjectKey("", "removed")}


def test_dropping_what_is_not_held_changes_nothing() -> None:
    """A key may have gone while others were dropped."""
    table: Table[str] = Table()
    assert table.drop(KEY) is None
