"""Ports and ranges as users write them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_api.ports import PortRange
from unit.capture_api.values import port_ranges, ports


@given(port_ranges)
def test_a_range_reads_as_it_is_written(port_range: PortRange) -> None:
    """Writing and reading gives the same range."""
    assert PortRange.parse(str(port_range)) == port_range


@given(port_ranges, ports)
def test_a_range_contains_its_ends_and_what_is_between(port_range: PortRange, port: int) -> None:
    """Both ends are in it."""
    assert (port in port_range) == (port_range.first <= port <= port_range.last)


def test_a_single_port_is_written_as_one() -> None:
    """`80-80` and `80` are the same range."""
    assert str(PortRange.parse("80-80")) == "80"
    assert {PortRange.parse("80-80"), PortRange.parse("80")} == {PortRange(80, 80)}


def test_ranges_with_one_end_in_common_differ() -> None:
    """Equality looks at both ends."""
    assert len({PortRange(80, 90), PortRange(80, 91), PortRange(79, 90)}) == 3


@given(st.text(max_size=12))
def test_only_ranges_are_read(text: str) -> None:
    """Whatever is read writes back as digits and one hyphen; all else is refused."""
    with suppress(ValueError):
        assert {*str(PortRange.parse(text))} <= {*"0123456789-"}


@pytest.mark.parametrize(
    "text", ["\u0668\u0660", "\uff18\uff10", " 80", "80\n", "+80", "1_0", "0x50"]
)
def test_digits_are_ascii_and_alone(text: str) -> None:
    """What Python's `int` would read is not enough to be a port."""
    with pytest.raises(ValueError, match="is not a port"):
        PortRange.parse(text)


@pytest.mark.parametrize(("first", "last"), [(0, 1), (2, 1), (1, 65536), (-1, 80)])
def test_a_range_that_no_packet_can_match_cannot_be_made(first: int, last: int) -> None:
    """The bounds hold however a range comes about."""
    with pytest.raises(ValueError, match="is not a port"):
        PortRange(first, last)
