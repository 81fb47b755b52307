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

    `variant` names who serves this table (`netlink`, `iptables-nft`, `iptables-legacy`, ...); a
    plan made from a view is applied by the same variant.
    """

    table: NatTable
    marked: frozenset[str]
    variant: str
    why: str = ""
    """Why the variant is not the preferred one; "" if it is."""
    conflict: str = ""
    """Who else decides about the packets that our rules are for, and what to do about it."""
    generation: int | None = None
    """The generation of the namespace's nf_tables that this is; None if it is not known."""
    changed_by: str = ""
    """Who changed the namespace's nf_tables last, as far as that was seen."""


class BackendError(Exception):
    """The table could not be read or written; `reason` is a CamelCase word for the status."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class TableChangedError(BackendError):
    """Somebody changed the table since it was looked at; nothing was written: look again."""

    def __init__(self) -> None:
        super().__init__("TableChanged", "the table keeps changing while it is written")


class NatBackend(Protocol):
    """Reads and writes the nat tables of one sandbox's network namespace.

    The asynchronous methods raise `BackendError`, and what
    `capture_agent.broker_client.Broker.run` raises.
    """

    async def observe(self, sandbox: Sandbox, family: Family) -> NatView:
        """Read the whole table of a family; nothing is written and no kernel module is loaded."""

    async def apply(self, sandbox: Sandbox, family: Family, view: NatView, plan: Plan) -> None:
        """Write a plan made from a view: the rules in one transaction, new chains with our mark.

        Raises:
            TableChangedError: the table is not the one that was viewed any more.
        """

    def is_unchanged(self, sandbox: Sandbox) -> bool:
        """Whether it is certain, and cheap to tell, that all is as at the last observation."""
