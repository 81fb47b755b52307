"""One nat table of one pod: looked at, held against what it is to hold, and written.

A sandbox has a table for each IP family, and each is a matter of its own: a transaction never spans
two, and what fails in one keeps nothing from the other.
"""

import logging
from dataclasses import dataclass

from capture_agent.journal import Journal
from capture_agent.nat_backends import BackendError, NatBackend, NatView, TableChangedError
from capture_agent.ownership import owned_chains
from capture_agent.sandboxes import Sandbox
from capture_nat.drift import Difference, find_drift
from capture_nat.families import Family
from capture_nat.planning import Plan, plan_changes
from capture_nat.rulesets import Ruleset

log = logging.getLogger(__name__)

ATTEMPTS = 5
"""Times that a table is looked at and written before whoever else writes to it has won for now."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the kernel holds, and which chains of it are ours."""

    view: NatView
    owned: frozenset[str]

    @property
    def left(self) -> frozenset[str]:
        """Our chains that are there, base chains aside: those stay for whoever uses them."""
        return frozenset(name for name in self.owned if self.view.table.chains[name].policy is None)


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is different from what the table is to hold, and what writing would mend it."""

    look: Look
    differences: tuple[Difference, ...]
    plan: Plan
    is_drift: bool
    """Whether it was otherwise before: what is different was changed by somebody."""


@dataclass(frozen=True, slots=True)
class PodTable:
    """The nat table of one family in one sandbox.

    `ruleset` is what it is to hold, None for nothing of ours; `was_complete` says that it was read
    back holding just that before. The methods raise what the backend raises, and `BackendError` if
    the journal can't be written.
    """

    sandbox: Sandbox
    family: Family
    backend: NatBackend
    journal: Journal
    ruleset: Ruleset | None = None
    was_complete: bool = False

    async def assess(self) -> Assessment:
        """Read the table and hold it against what it is to hold.

        Raises:
            ChainConflictError: a chain with a name of ours is not ours and not as planned.
            BackendError: rules of ours would not decide about the packets that they are for.
        """
        look = await self._look()
        if look.view.conflict and self.ruleset is not None:
            raise BackendError("BackendConflict", look.view.conflict)
        differences = find_drift(self.ruleset, look.view.table) if self.ruleset else ()
        return Assessment(
            look=look,
            differences=differences,
            plan=plan_changes(self.ruleset, look.view.table, look.owned),
            is_drift=bool(differences) and self.was_complete,
        )

    async def write(self, assessment: Assessment) -> Assessment:
        """Write the plan of an assessment, and assess again.

        A table that changes in between is looked at anew, and the plan for it is another one.
        """
        for _ in range(ATTEMPTS):
            if assessment.plan.is_empty:
                return assessment
            try:
                await self._apply(assessment)
            except TableChangedError:
                assessment = await self.assess()
            else:
                return await self.assess()
        raise TableChangedError

    async def _apply(self, assessment: Assessment) -> None:
        look, plan = assessment.look, assessment.plan
        if plan.adopted:
            names = ", ".join(plan.adopted)
            log.info("%s: already as planned, now ours: %s", self.sandbox.key, names)
        # On record first: killed after the write, the next pass must know the chains for ours.
        self._record(look.owned.union(plan.create, plan.adopted))
        await self.backend.apply(self.sandbox, self.family, look.view, plan)

    async def _look(self) -> Look:
        view = await self.backend.observe(self.sandbox, self.family)
        recorded = self.journal.chains(self.sandbox.key, self.family) & view.table.chains.keys()
        self._record(recorded)
        return Look(view, owned_chains(view, recorded))

    def _record(self, chains: frozenset[str]) -> None:
        try:
            self.journal.record(self.sandbox.key, self.family, chains)
        except OSError as error:
            raise BackendError(
                "JournalUnwritable", f"the agent's state directory can't be written: {error}"
            ) from error
