"""Numeric ids and ranges of them as users write them."""

import pytest
from hypothesis import given

from capture_api.owners import IdRange
from capture_api.ports import PortRange
from unit.capture_api.values import id_ranges


@given(id_ranges)
def test_a_range_reads_as_it_is_written(id_range: IdRange) -> None:
    """Writing and reading gives the same range."""
    assert IdRange.parse(str(id_range)) == id_range


def test_root_is_an_id() -> None:
    """Unlike port 0."""
    assert IdRange.parse("0") == IdRange(0, 0)


@pytest.mark.parametrize("text", ["root", "", "-1", "00", "2-1", "4294967295", "1-2-3", "1000\n"])
def test_what_no_process_has_is_refused(text: str) -> None:
    """The message says what to write."""
    with pytest.raises(ValueError, match=r"is not a numeric id \(0-4294967294\) or a range"):
        IdRange.parse(text)


def test_a_range_of_ids_is_no_range_of_ports() -> None:
    """Even of the same numbers."""
    assert IdRange(80, 80) != PortRange(80, 80)
