"""What the nat table is to hold of ours: chains with their rules, and the jumps into them."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

BUILTIN_CHAINS: Final = frozenset({"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"})
"""Every base chain that iptables knows in the nat table."""


class Hook(StrEnum):
    """The base chains that we jump from."""

    PREROUTING = "PREROUTING"
    OUTPUT = "OUTPUT"


class Traffic(StrEnum):
    """Which packets of a base chain go into a chain of ours; the value is the match."""

    TCP = "-p tcp"
    EVERY = ""
    """TCP and UDP are what the chain itself knows; it lets all else pass."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of ours and its rules in order, each as `-A NAME ...`."""

    name: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Jump:
    """The one rule of a base chain that sends its packets into a chain of ours."""

    base: Hook
    chain: str
    traffic: Traffic = Traffic.TCP

    @property
    def rule(self) -> str:
        """The rule as `-A BASE ...`."""
        return " ".join(filter(None, (f"-A {self.base}", self.traffic, f"-j {self.chain}")))

    @property
    def other_forms(self) -> tuple["Jump", ...]:
        """The jumps that another program would have from here to there."""
        return tuple(replace(self, traffic=each) for each in Traffic if each is not self.traffic)


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Everything of ours in the nat table of one family; chains are ordered by name."""

    chains: tuple[Chain, ...] = ()
    jumps: tuple[Jump, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The names of our chains."""
        return frozenset(chain.name for chain in self.chains)
