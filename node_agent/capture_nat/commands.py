"""What a transaction does to a nat table, one command after the other.

Each command can be said to `iptables-restore --noflush`; a backend that talks to the kernel itself
translates it. Rules are texts as in `capture_nat.tables`, `-A CHAIN ...`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from capture_nat.rulesets import Chain


@dataclass(frozen=True, slots=True)
class Refill:
    """Create the chain, or flush it if it is there, and append its rules."""

    chain: Chain

    @property
    def restore_lines(self) -> tuple[str, ...]:
        """The lines for `iptables-restore`; the chain is declared ahead of them."""
        return self.chain.rules


@dataclass(frozen=True, slots=True)
class DeleteRule:
    """Delete the first rule of this text; without one, the transaction fails."""

    rule: str

    @property
    def restore_lines(self) -> tuple[str, ...]:
        """The lines for `iptables-restore`."""
        return (self.rule.replace("-A ", "-D ", 1),)


@dataclass(frozen=True, slots=True)
class InsertFirst:
    """Insert a rule ahead of all others of its chain."""

    rule: str

    @property
    def restore_lines(self) -> tuple[str, ...]:
        """The lines for `iptables-restore`."""
        flag, chain, rest = self.rule.split(" ", 2)
        return (f"{flag.replace('A', 'I')} {chain} 1 {rest}",)


@dataclass(frozen=True, slots=True)
class Flush:
    """Delete every rule of a chain."""

    chain: str

    @property
    def restore_lines(self) -> tuple[str, ...]:
        """The lines for `iptables-restore`."""
        return (f"-F {self.chain}",)


@dataclass(frozen=True, slots=True)
class DeleteChain:
    """Delete a chain; with rules in it, or referred to by one, the transaction fails."""

    chain: str

    @property
    def restore_lines(self) -> tuple[str, ...]:
        """The lines for `iptables-restore`."""
        return (f"-X {self.chain}",)


@dataclass(frozen=True, slots=True)
class WakeTable:
    """Switch the table on again, with all that others have in it."""

    @property
    def restore_lines(self) -> tuple[str, ...]:
        """Nothing: `iptables-restore` does not know of it."""
        return ()


Command = Refill | DeleteRule | InsertFirst | Flush | DeleteChain | WakeTable


def restore_input(commands: Sequence[Command]) -> str:
    """Say commands to `iptables-restore --noflush`, as one transaction; "" for no command."""
    # With --noflush, a chain's declaration creates it, or flushes it if it is there. They come
    # first: a rule may go to a chain that is filled after its own.
    declared = [f":{each.chain.name} - [0:0]" for each in commands if isinstance(each, Refill)]
    lines = declared + [line for command in commands for line in command.restore_lines]
    return "\n".join(["*nat", *lines, "COMMIT", ""]) if lines else ""
