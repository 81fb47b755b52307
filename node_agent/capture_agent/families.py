"""In which IP families a pod is captured. Pure."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from capture_api.programs import IpFamily, Program
from capture_nat.families import Family

IP_FAMILIES: Final = {family: IpFamily[family.name] for family in Family}
"""Families as the API names them."""


def pod_families(pod_ips: Iterable[str]) -> frozenset[Family]:
    """Tell which families a pod has an address of."""
    return frozenset(Family(ip_address(address).version) for address in pod_ips)


def captured_families(program: Program, pod_ips: Iterable[str]) -> frozenset[Family]:
    """Tell in which families a program captures a pod: those that both have."""
    wanted = frozenset(Family[family.name] for family in program.ip_families) or frozenset(Family)
    return pod_families(pod_ips) & wanted


def ip_families(families: Iterable[Family]) -> tuple[IpFamily, ...]:
    """Name families as the API does."""
    return tuple(sorted(IP_FAMILIES[family] for family in families))
