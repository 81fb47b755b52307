"""What the nat table is to hold of ours: chains with their rules, and the jumps into them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

BUILTIN_CHAINS: Final = frozenset({"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"})
"""Every base chain that iptables knows in the nat table."""


class Hook(StrEnum):
    """The base chains that we jump from."""

    PREROUTING = "PREROUTING"
    OUTPUT = "OUTPUT"


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of ours and its rules in order, each as `-A NAME ...`."""

    name: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Jump:
    """The one rule of a base chain that sends its TCP packets into a chain of ours."""

    base: Hook
    chain: str

    @property
    def rule(self) -> str:
        """The rule as `-A BASE ...`."""
        return f"-A {self.base} -p tcp -j {self.chain}"


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Everything of ours in the nat table of one family; chains are ordered by name."""

    chains: tuple[Chain, ...] = ()
    jumps: tuple[Jump, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The names of our chains."""
        return frozenset(chain.name for chain in self.chains)
