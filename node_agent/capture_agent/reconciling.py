"""One pass over one pod: make what the kernel holds equal to what was decided, and say what is so.

Goals:

* Level-triggered. A pass looks at (decision, kernel, marks and journal) and at nothing that a lost
  event or a killed process could have made untrue. A pass over an equal state writes nothing.
* Evidence. A pod counts as Programmed only after its tables were read back and found equal.
* A difference is drift only where the same program had been read back before in the same network
  namespace; otherwise it is a program that is still to be brought in, and nobody's fault.
* Whatever goes wrong in a pod becomes a finding in that pod's record, and what the record knew
  before is kept: above all whose chains may be in the pod.
* A chain that is gone is ours no more: the next one of its name may be anybody's.

The decisions are `capture_nat`'s (what differs, what to write) and `Capture.writes` (how far to
go); this module puts them in order around the effects, for each of the pod's tables.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import replace as changed
from functools import lru_cache

from msgspec.structs import replace

from capture_agent.broker_client import BrokerLostError, SandboxRefusedError
from capture_agent.desired import Capture, Writes
from capture_agent.drift_accounting import (
    CONTENDED,
    MAX_MESSAGE,
    Obstacle,
    failed,
    with_drift_counted,
)
from capture_agent.failures import FAILURES, Failure, finding_of
from capture_agent.families import captured_families, pod_families
from capture_agent.journal import Journal
from capture_agent.kept_flows import Keep
from capture_agent.nat_backends import NatBackend
from capture_agent.outcomes import Outcome, concluded
from capture_agent.pod_tables import Assessment, PodTable
from capture_agent.records import PROGRAMMED, Drift, Finding, PodRecord
from capture_agent.sandboxes import Sandbox
from capture_api.captures import EstablishedConnections
from capture_api.node_captures import PodState
from capture_nat.compiling import compile_program
from capture_nat.enforceable import UnenforceableProgramError
from capture_nat.families import Family
from capture_nat.rulesets import Ruleset

_NO_FAMILY = Finding(
    PodState.NOT_APPLICABLE,
    "NoAddressInFamilies",
    "the pod has no address of a family in spec.ipFamilies",
)
_compiled = lru_cache(maxsize=256)(compile_program)
"""A node's pods share few programs, and each is compiled at every look."""
NOT_SO = Obstacle("it was written, and is not so")


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Brings sandboxes to what was decided, through one backend.

    `monotonic` gives seconds for back-off, `timestamp` an RFC 3339 time for the status.
    """

    backend: NatBackend
    journal: Journal
    monotonic: Callable[[], float]
    timestamp: Callable[[], str]
    keep: Keep | None = None
    """Has the connections of a sandbox go on as they are when the first rules come in."""

    async def capture(self, record: PodRecord, desired: Capture, sandbox: Sandbox) -> PodRecord:
        """Make the sandbox hold a program, as far as the capture lets us, and record what is so."""
        record = replace(record, program=desired.spec)
        captured = captured_families(desired.spec.program, sandbox.pod_ips)
        if not captured:
            return replace(record, finding=_NO_FAMILY)
        try:
            rulesets = {each: _compiled(desired.spec.program, each) for each in captured}
        except UnenforceableProgramError as failure:
            return replace(record, finding=finding_of(failure))
        tables = self._tables(record, desired, sandbox, rulesets)
        assessed = [(table, await _assessed(table)) for table in tables]
        record = self._with_drift(record, assessed)
        obstacles = _Obstacles(record, desired, self.monotonic())
        not_kept = await self._kept(record, desired, sandbox, written=_written(assessed, obstacles))
        outcomes = [await _outcome(table, found, obstacles) for table, found in assessed]
        if any(outcome.is_drift and outcome.was_written for outcome in outcomes):
            record = replace(record, backoff=record.backoff.after_repair(self.monotonic()))
        record = concluded(record, desired, sandbox, outcomes)
        if not_kept and record.finding == PROGRAMMED:
            return replace(record, finding=not_kept)
        return record

    async def _kept(
        self, record: PodRecord, desired: Capture, sandbox: Sandbox, *, written: bool
    ) -> Finding | None:
        """Keep what began before the first rules of a sandbox; say so if that can't be done."""
        is_first = record.held_in != sandbox.netns and not record.is_starting
        policy = desired.spec.established_connections
        if not (written and is_first and self.keep and policy is EstablishedConnections.KEEP):
            return None
        try:
            await self.keep(sandbox)
        except (SandboxRefusedError, BrokerLostError, OSError) as failure:
            return Finding(PodState.PROGRAMMED, "ConnectionsNotKept", f"{failure}"[:MAX_MESSAGE])
        return None

    async def release(self, record: PodRecord, sandbox: Sandbox) -> PodRecord:
        """Take everything of ours out of the sandbox; what is not ours stays.

        Returns:
            A record that holds nothing, once the tables were read back and nothing of ours is left.
        """
        left: set[str] = set()
        for family in pod_families(sandbox.pod_ips) | self.journal.families(sandbox.key):
            table = PodTable(sandbox, family, self.backend, self.journal)
            try:
                found = await table.assess()
                if not found.plan.is_empty:
                    found = await table.write(found)
            except FAILURES as failure:
                return replace(record, finding=finding_of(failure))
            left |= found.look.left
        return replace(record, finding=_still_referenced(left)) if left else record.released()

    def _tables(
        self,
        record: PodRecord,
        desired: Capture,
        sandbox: Sandbox,
        rulesets: Mapping[Family, Ruleset],
    ) -> list[PodTable]:
        """List the tables to look at: the captured ones, and those that may have leftovers."""
        families = rulesets.keys() | self.journal.families(sandbox.key)
        if not record.holds(desired.spec, sandbox):
            families |= pod_families(sandbox.pod_ips)
        return [
            PodTable(
                sandbox,
                family,
                self.backend,
                self.journal,
                ruleset=rulesets.get(family),
                was_complete=record.holds(desired.spec, sandbox, family),
            )
            for family in Family
            if family in families
        ]

    def _with_drift(
        self, record: PodRecord, assessed: Iterable[tuple[PodTable, Assessment | Failure]]
    ) -> PodRecord:
        drift = tuple(
            Drift(table.family, difference, found.look.view.changed_by)
            for table, found in assessed
            if isinstance(found, Assessment) and found.is_drift
            for difference in found.differences
        )
        return with_drift_counted(record, drift, self.timestamp()) if drift else record


@dataclass(frozen=True, slots=True)
class _Obstacles:
    """What may keep a plan from being written now."""

    record: PodRecord
    desired: Capture
    now: float

    def to(self, assessment: Assessment) -> Obstacle | None:
        """Say why the plan may not be written; None when it may."""
        if self.desired.spec.suspend:
            return Obstacle("the capture is suspended: nothing is written")
        if self.desired.writes is Writes.NONE:
            return Obstacle("mode is Observe: nothing is written")
        if not assessment.is_drift:
            return None
        if self.desired.writes is Writes.PROGRAM:
            return Obstacle("driftPolicy is Report: nothing is repaired")
        wait = self.record.backoff.wait(self.now)
        if wait <= 0:
            return None
        return Obstacle(f"it keeps being changed: next repair in {wait:.1f} s", CONTENDED)


def _written(
    assessed: Iterable[tuple[PodTable, Assessment | Failure]], obstacles: _Obstacles
) -> bool:
    """Whether anything is about to be written."""
    return any(
        isinstance(found, Assessment) and not found.plan.is_empty and obstacles.to(found) is None
        for _, found in assessed
    )


async def _assessed(table: PodTable) -> Assessment | Failure:
    try:
        return await table.assess()
    except FAILURES as failure:
        return failure


async def _outcome(table: PodTable, found: Assessment | Failure, obstacles: _Obstacles) -> Outcome:
    unread = Outcome(table.family, is_captured=table.ruleset is not None)
    if not isinstance(found, Assessment):
        return changed(unread, failure=found)
    view = found.look.view
    seen = changed(unread, variant=view.variant, why=view.why, is_drift=found.is_drift)
    if found.plan.is_empty:
        return seen
    obstacle = obstacles.to(found)
    if obstacle is not None:
        # Without differences there are only leftovers of ours beside what is to be there.
        return changed(seen, differences=found.differences, obstacle=obstacle)
    written = changed(seen, was_written=True)
    try:
        after = await table.write(found)
    except FAILURES as failure:
        return changed(written, failure=failure)
    view = after.look.view  # who served may have changed: what netlink is refused, the tools write
    return changed(
        written,
        variant=view.variant,
        why=view.why,
        differences=after.differences,
        obstacle=NOT_SO,
    )


def _still_referenced(chains: set[str]) -> Finding:
    return failed(
        "ChainReferenced",
        f"rules that are not ours still refer to {', '.join(sorted(chains))}; the chains were "
        "emptied and go when those rules do",
    )
