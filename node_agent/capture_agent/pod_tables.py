"""The nat tables of one pod: looked at, held against what they are to hold, and written.

A sandbox has a table for each IP family. They are looked at together and written together, so that
a pod of two families is captured in both at one instant; but each is a matter of its own, and what
fails in one keeps nothing from the other.
"""

import logging
from collections.abc import Iterable, Mapping

import msgspec

from capture_agent.assessments import Assessed, Assessment, Wanted, assessment_of, planned
from capture_agent.failures import FAILURES, Failure
from capture_agent.journal import Journal
from capture_agent.judgements import Judgements
from capture_agent.nat_backends import (
    TABLE_FAILURES,
    BackendError,
    NatBackend,
    NatChange,
    NatView,
    TableChangedError,
    TableFailure,
)
from capture_agent.sandboxes import Sandbox
from capture_nat.families import Family

log = logging.getLogger(__name__)

ATTEMPTS = 5
"""Times that a table is looked at and written before whoever else writes to it has won for now."""


class PodTables(msgspec.Struct, frozen=True):
    """The nat tables of one sandbox, and what each is to hold."""

    sandbox: Sandbox
    backend: NatBackend
    journal: Journal
    judgements: Judgements
    wanted: Mapping[Family, Wanted]

    async def assess(self, families: Iterable[Family] | None = None) -> Assessed:
        """Read tables, by default all, and hold them against what they are to hold.

        What may fail: a `ChainConflictError`, if a chain with a name of ours is not ours and not as
        planned; a `BackendError`, if rules of ours would not decide about the packets that they are
        for, or the journal can't be written; and what the backend says.
        """
        chosen = tuple(self.wanted if families is None else families)
        try:
            views = await self.backend.observe(self.sandbox, chosen)
        except TABLE_FAILURES as failure:
            return dict.fromkeys(chosen, failure)
        recorded = self._still_recorded(views)
        unrecorded = self._record(recorded)
        return {
            each: unrecorded.get(each)
            or self._assessed(each, views[each], recorded.get(each, frozenset()))
            for each in chosen
        }

    async def write(self, assessed: Mapping[Family, Assessment]) -> Assessed:
        """Write what was planned, together where the backend can, and assess again.

        A table that changes in between is looked at anew, and the plan for it is another one.
        """
        done: dict[Family, Assessment | Failure] = dict(assessed)
        left = planned(assessed)
        for _ in range(ATTEMPTS):
            if not left:
                return done
            failures = await self._apply(left)
            changed = [each for each in left if isinstance(failures.get(each), TableChangedError)]
            again = [each for each in left if each in changed or each not in failures]
            done.update({**failures, **await self.assess(again)})
            left = planned({family: done[family] for family in changed})
        return {**done, **{family: TableChangedError() for family in left}}

    async def _apply(self, assessed: Mapping[Family, Assessment]) -> Mapping[Family, Failure]:
        """Write plans, and say which were not written and why."""
        # On record first: killed after the write, the next pass must know the chains for ours.
        unrecorded = self._record({each: found.claims for each, found in assessed.items()})
        changes = {
            family: NatChange(found.look.view, found.plan)
            for family, found in assessed.items()
            if family not in unrecorded
        }
        self._tell_adopted(changes)
        try:
            return {**unrecorded, **await self.backend.apply(self.sandbox, changes)}
        except TABLE_FAILURES as failure:
            return {**unrecorded, **dict.fromkeys(changes, failure)}

    def _tell_adopted(self, changes: Mapping[Family, NatChange]) -> None:
        for change in changes.values():
            if change.plan.adopted:
                names = ", ".join(change.plan.adopted)
                log.info("%s: already as planned, now ours: %s", self.sandbox.key, names)

    def _assessed(
        self, family: Family, view: NatView | TableFailure, recorded: frozenset[str]
    ) -> Assessment | Failure:
        if isinstance(view, TABLE_FAILURES):
            return view
        try:
            return assessment_of(self.wanted[family], view, recorded, self.judgements)
        except FAILURES as failure:
            return failure

    def _still_recorded(
        self, views: Mapping[Family, NatView | TableFailure]
    ) -> dict[Family, frozenset[str]]:
        """Tell which chains are ours by the journal; one that is gone is ours no more."""
        return {
            family: self.journal.chains(self.sandbox.key, family).intersection(view.table.chains)
            for family, view in views.items()
            if isinstance(view, NatView)
        }

    def _record(self, chains: Mapping[Family, frozenset[str]]) -> dict[Family, BackendError]:
        """Put on record what is ours; say for which families that can't be done."""
        try:
            self.journal.record(self.sandbox.key, chains)
        except OSError as error:
            message = f"the agent's state directory can't be written: {error}"
            return {
                family: BackendError("JournalUnwritable", message)
                for family, names in chains.items()
                if self.journal.chains(self.sandbox.key, family) != names
            }
        return {}
