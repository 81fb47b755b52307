"""Only the pinned packages of a suite are used, and whoever meets others is told what to pin."""

import pytest

from kernel.iptables_releases import IptablesRelease, check_pins
from local_cluster.errors import LocalClusterError

PINNED = IptablesRelease(
    "forky", "1.8.13", {"iptables_1.8.13-1_amd64.deb": "aa", "iptables_1.8.13-1_arm64.deb": "bb"}
)


def test_what_is_pinned_is_taken() -> None:
    """Of the machine's architecture; what lies underneath is as the suite has it."""
    check_pins(PINNED, {"iptables_1.8.13-1_amd64.deb": "aa", "libc6_2.43-7_amd64.deb": "cc"})


@pytest.mark.parametrize("name", ["iptables_1.8.13-1_amd64.deb", "iptables_1.8.14-1_amd64.deb"])
def test_anything_else_is_refused_with_what_to_pin(name: str) -> None:
    """Another digest, or another version."""
    with pytest.raises(LocalClusterError, match=f'"{name}": "dd"'):
        check_pins(PINNED, {name: "dd"})
