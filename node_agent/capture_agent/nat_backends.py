"""How the nat tables of a pod are read and written: the seam that every backend fills.

A sandbox has a table for each IP family. They are looked at together, and written together where
the backend can; but what fails in one keeps nothing from the other, so failures are told by family.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

import msgspec

from capture_agent.actors import Actor
from capture_agent.broker_client import BrokerLostError, SandboxRefusedError
from capture_agent.sandboxes import Sandbox
from capture_nat.families import Family
from capture_nat.planning import Plan
from capture_nat.tables import NatTable


class NatView(msgspec.Struct, frozen=True):
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
    changed_by: Actor | None = None
    """Who changed the namespace's nf_tables last, as far as that was seen."""


class NatChange(msgspec.Struct, frozen=True):
    """A plan for a table, and the view that it was made from."""

    view: NatView
    plan: Plan


class BackendError(Exception):
    """The table could not be read or written; `reason` is a CamelCase word for the status."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class TableChangedError(BackendError):
    """Somebody changed the table since it was looked at; nothing was written: look again."""

    def __init__(self) -> None:
        super().__init__("TableChanged", "the table keeps changing while it is written")


TableFailure = BackendError | SandboxRefusedError | BrokerLostError
TABLE_FAILURES: Final = (BackendError, SandboxRefusedError, BrokerLostError)
"""The same for `except`."""


class NatBackend(Protocol):
    """Reads and writes the nat tables of one sandbox's network namespace.

    The asynchronous methods raise a `TableFailure` that concerns all tables of the sandbox.
    """

    async def observe(
        self, sandbox: Sandbox, families: Iterable[Family]
    ) -> Mapping[Family, NatView | TableFailure]:
        """Read the whole tables of some families, or say why one can't be read.

        Nothing is written and no kernel module is loaded.
        """

    async def apply(
        self, sandbox: Sandbox, changes: Mapping[Family, NatChange]
    ) -> Mapping[Family, TableFailure]:
        """Write plans, at best in one transaction, at worst in one a family; new chains are marked.

        Returns:
            The families that were not written, and why: `TableChangedError` for a table that is
            not the one that was viewed any more.
        """

    def is_unchanged(self, sandbox: Sandbox) -> bool:
        """Whether it is certain, and cheap to tell, that all is as at the last observation."""
