"""A `NatBackend` without a kernel: tables in memory, for trying out and testing what uses one."""

from collections.abc import Iterable, Mapping

from capture_agent.by_family import failures_in, one_by_one
from capture_agent.nat_backends import (
    BackendError,
    NatChange,
    NatView,
    TableChangedError,
    TableFailure,
)
from capture_agent.sandboxes import Sandbox
from capture_nat.families import Family
from capture_nat.simulation import TransactionError, apply_plan
from capture_nat.tables import NatTable

FAKE = "fake"


class FakeBackend:
    """Keeps a table for each sandbox key and family; `writes` counts the plans that were applied.

    Tests play the other processes of the pod by changing `tables`, and what goes wrong in one of
    them by overriding `view` and `write`.
    """

    def __init__(self) -> None:
        self.tables: dict[tuple[str, Family], NatTable] = {}
        self.marked: dict[tuple[str, Family], frozenset[str]] = {}
        self.writes = 0

    async def observe(
        self, sandbox: Sandbox, families: Iterable[Family]
    ) -> Mapping[Family, NatView | TableFailure]:
        """See `NatBackend`."""
        return await one_by_one(families, lambda family: self.view(sandbox, family))

    async def apply(
        self, sandbox: Sandbox, changes: Mapping[Family, NatChange]
    ) -> Mapping[Family, TableFailure]:
        """See `NatBackend`."""
        return failures_in(
            await one_by_one(changes, lambda family: self.write(sandbox, family, changes[family]))
        )

    def is_unchanged(self, sandbox: Sandbox) -> bool:
        """Tell nothing: whoever changes `tables` leaves no trace."""
        del sandbox
        return False

    async def view(self, sandbox: Sandbox, family: Family) -> NatView:
        """Read a table; marks of chains that are gone are gone."""
        table = self.tables.get((sandbox.key, family), NatTable())
        marked = self.marked.get((sandbox.key, family), frozenset())
        return NatView(table, marked.intersection(table.chains), FAKE)

    async def write(self, sandbox: Sandbox, family: Family, change: NatChange) -> None:
        """Apply a plan, all of it or nothing.

        Raises:
            BackendError: the table changed, or the plan is none for it.
        """
        if change.view != await self.view(sandbox, family):
            raise TableChangedError
        try:
            self.tables[sandbox.key, family] = apply_plan(change.view.table, change.plan)
        except TransactionError as error:
            raise BackendError("WriteFailed", str(error)) from error
        self.marked[sandbox.key, family] = change.view.marked.union(change.plan.create)
        self.writes += 1
