"""Lists of legacy tables that the kernel did not have when they were to be opened."""

from pathlib import Path

import pytest

from capture_agent.legacy_tables import LISTS, LegacyTables
from capture_nat.families import Family


def test_without_lists_there_are_no_tables(tmp_path: Path) -> None:
    """The kernel has none, in no namespace."""
    legacy = LegacyTables({}, str(tmp_path))
    assert not any(map(legacy.has_nat, Family))
    assert not legacy.are_outdated


@pytest.mark.parametrize("family", Family)
def test_lists_that_appear_later_are_to_be_opened(tmp_path: Path, family: Family) -> None:
    """Somebody loaded the module: every namespace has its list now."""
    legacy = LegacyTables({}, str(tmp_path))
    (tmp_path / LISTS[family]).touch()
    assert legacy.are_outdated
