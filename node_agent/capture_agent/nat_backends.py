"""How the nat table of a pod is read and written: the seam that every backend fills."""

from dataclasses import dataclass
from typing import Protocol

from capture_agent.sandboxes import Sandbox
from capture_nat.families import Family
from capture_nat.planning import Plan
from capture_nat.tables import NatTable


@dataclass(frozen=True, slots=True)
class NatView:
    """What the kernel holds: the table, and which of its chains carry our mark.

    `variant` names who serves this table (`iptables-nft`, `iptables-legacy`, ...); a plan made from
    a view is applied by the same variant.
    """

    table: NatTable
    marked: frozenset[str]
    variant: str


class BackendError(Exception):
    """The table could not be read or written; `reason` is a CamelCase word for the status."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class NatBackend(Protocol):
    """Reads and writes the nat tables of one sandbox's network namespace.

    Both methods raise `BackendError`, and what `capture_agent.broker_client.Broker.run` raises.
    """

    async def observe(self, sandbox: Sandbox, family: Family) -> NatView:
        """Read the whole table of a family; nothing is written and no kernel module is loaded."""

    async def apply(self, sandbox: Sandbox, family: Family, variant: str, plan: Plan) -> None:
        """Write a plan: the rules in one transaction, new chains marked before they are filled."""
