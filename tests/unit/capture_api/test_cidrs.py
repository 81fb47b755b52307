"""CIDRs as users write them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_api.cidrs import Cidr
from unit.capture_api.values import cidrs


@given(cidrs)
def test_a_cidr_reads_as_it_is_written(cidr: Cidr) -> None:
    """Writing and reading gives the same network, of either family."""
    assert Cidr.parse(str(cidr)) == cidr


@given(st.text(alphabet="0123456789abcdef.:/% \n", max_size=24))
def test_only_cidrs_are_read(text: str) -> None:
    """Whatever is read writes back as an address and a length; all else is refused."""
    with suppress(ValueError):
        assert {*str(Cidr.parse(text))} <= {*"0123456789abcdef.:/"}


def test_spellings_of_a_network_are_equal() -> None:
    """Case and zeros of IPv6 make no difference."""
    assert {Cidr.parse("FD00:0::/8"), Cidr.parse("fd00::/8")} == {Cidr.parse("fd00::/8")}


def test_the_length_makes_a_difference() -> None:
    """The same address with another length is another network."""
    assert Cidr.parse("10.0.0.0/8") != Cidr.parse("10.0.0.0/9")


def test_the_family_is_known() -> None:
    """`version` is the family's number."""
    assert (Cidr.parse("0.0.0.0/0").version, Cidr.parse("::/0").version) == (4, 6)


def test_bits_beyond_the_length_are_refused_with_the_network_to_write() -> None:
    """The message offers the network that was probably meant."""
    with pytest.raises(ValueError, match=r"write 10\.0\.0\.0/8"):
        Cidr.parse("10.1.2.3/8")


@pytest.mark.parametrize(
    "text",
    ["10.0.0.0", "10.0.0.0/255.0.0.0", "10.0.0.0/08", "10.0.0.0/+8", "fe80::%eth0/64", "10.0/8"],
)
def test_forms_that_only_python_reads_are_refused(text: str) -> None:
    """The API server would refuse them too."""
    with pytest.raises(ValueError, match="is not a CIDR"):
        Cidr.parse(text)


def test_ipv4_dressed_as_ipv6_is_refused() -> None:
    """It would be programmed in the wrong family."""
    with pytest.raises(ValueError, match="is an IPv4 network"):
        Cidr.parse("::ffff:10.0.0.0/104")
