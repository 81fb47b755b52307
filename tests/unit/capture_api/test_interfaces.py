"""Interfaces as users name them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_api.interfaces import InterfaceName
from unit.capture_api.values import interface_names


@given(interface_names)
def test_a_name_reads_as_it_is_written(name: InterfaceName) -> None:
    """Writing and reading gives the same name."""
    assert InterfaceName.parse(str(name)) == name


@given(st.text(max_size=20))
def test_only_names_are_read(text: str) -> None:
    """Whatever is read is one word that no tool takes for an option or a pattern."""
    with suppress(ValueError):
        name = str(InterfaceName.parse(text))
        assert name.isascii()
        assert name.replace("-", "x").replace(".", "x").isidentifier() or name[0].isdigit()
        assert len(name) <= 15


@pytest.mark.parametrize("text", ["", "eth+", "!", "-o", ".", "a/b", "a b", "eth0\n", "x" * 16])
def test_a_name_that_means_something_else_is_refused(text: str) -> None:
    """To iptables, or to the kernel."""
    with pytest.raises(ValueError, match=r"is not the name of an interface, e\.g\. eth0"):
        InterfaceName.parse(text)
