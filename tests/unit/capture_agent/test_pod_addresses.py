"""Which of the addresses in a namespace are a pod's."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_agent.pod_addresses import usable_addresses

addresses = st.frozensets(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16))


NOBODYS = ("0.0.0.0", "::", "224.0.0.1", "ff02::1")  # noqa: S104 - nothing is bound


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "169.254.7.7", "fe80::1", *NOBODYS])
def test_what_every_namespace_has_says_nothing_of_a_pod(address: str) -> None:
    """Nor what is no address of anybody."""
    assert usable_addresses([ip_address(address).packed]) == ()


def test_addresses_are_written_as_kubernetes_writes_them() -> None:
    """Private ones are what pods have."""
    there = ["fd00::9", "2001:db8::1", "10.0.0.9", "192.168.0.1", "100.64.0.1"]
    packed = [ip_address(address).packed for address in there]
    assert usable_addresses(packed) == (
        "10.0.0.9", "100.64.0.1", "192.168.0.1", "2001:db8::1", "fd00::9",
    )  # fmt: skip


@given(addresses, addresses)
def test_each_address_is_judged_by_itself(some: frozenset[bytes], others: frozenset[bytes]) -> None:
    """In one order, each once, and as what it is."""
    together = usable_addresses((*some, *others))
    assert set(together) == {*usable_addresses(some), *usable_addresses(others)}
    assert together == usable_addresses((*others, *some))
    assert {ip_address(each).packed for each in together} <= some | others
