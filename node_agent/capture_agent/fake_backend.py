"""A `NatBackend` without a kernel: tables in memory, for trying out and testing what uses one."""

from capture_agent.nat_backends import BackendError, NatView, TableChangedError
from capture_agent.sandboxes import Sandbox
from capture_nat.families import Family
from capture_nat.planning import Plan
from capture_nat.simulation import TransactionError, apply_plan
from capture_nat.tables import NatTable

FAKE = "fake"


class FakeBackend:
    """Keeps a table for each sandbox key and family; `writes` counts the plans that were applied.

    Tests play the other processes of the pod by changing `tables`.
    """

    def __init__(self) -> None:
        self.tables: dict[tuple[str, Family], NatTable] = {}
        self.marked: dict[tuple[str, Family], frozenset[str]] = {}
        self.writes = 0

    async def observe(self, sandbox: Sandbox, family: Family) -> NatView:
        """Read the table; marks of chains that are gone are gone."""
        table = self.tables.get((sandbox.key, family), NatTable())
        marked = self.marked.get((sandbox.key, family), frozenset())
        return NatView(table, marked & table.chains.keys(), FAKE)

    async def apply(self, sandbox: Sandbox, family: Family, view: NatView, plan: Plan) -> None:
        """Apply the plan, all of it or nothing."""
        if view != await self.observe(sandbox, family):
            raise TableChangedError
        try:
            self.tables[sandbox.key, family] = apply_plan(view.table, plan)
        except TransactionError as error:
            raise BackendError("WriteFailed", str(error)) from error
        self.marked[sandbox.key, family] = view.marked.union(plan.create)
        self.writes += 1

    def is_unchanged(self, sandbox: Sandbox) -> bool:
        """Tell nothing: whoever changes `tables` leaves no trace."""
        del sandbox
        return False
