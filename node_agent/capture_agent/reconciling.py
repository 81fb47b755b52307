"""One pass over one pod: make what the kernel holds equal to what was decided, and say what is so.

Goals:

* Level-triggered. A pass looks at (decision, kernel, marks and journal) and at nothing that a lost
  event or a killed process could have made untrue. A pass over an equal state writes nothing.
* Evidence. A pod counts as Programmed only after its table was read back and found equal.
* A difference is drift only where the same program had been read back before in the same network
  namespace; otherwise it is a program that is still to be brought in, and nobody's fault.
* Whatever goes wrong in a pod becomes a finding in that pod's record, and what the record knew
  before is kept: above all whose chains may be in the pod.
* A chain that is gone is ours no more: the next one of its name may be anybody's.

The decisions are `capture_nat`'s (what differs, what to write) and `Capture.writes` (how far to
go); this module puts them in order around the effects.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from capture_agent.desired import Capture, Writes
from capture_agent.drift_accounting import drifted, failed, with_drift_counted
from capture_agent.failures import FAILURES, finding_of
from capture_agent.journal import Journal
from capture_agent.nat_backends import BackendError, NatBackend, NatView
from capture_agent.ownership import owned_chains
from capture_agent.records import Finding, PodRecord
from capture_agent.sandboxes import Sandbox
from capture_api.capture_programs import CaptureProgramSpec
from capture_api.node_captures import PodState
from capture_nat.compiling import compile_program
from capture_nat.drift import Difference, find_drift
from capture_nat.families import Family
from capture_nat.planning import Plan, plan_changes
from capture_nat.rulesets import Ruleset

log = logging.getLogger(__name__)

PROGRAMMED = Finding(PodState.PROGRAMMED)


@dataclass(frozen=True, slots=True)
class Look:
    """What the kernel holds, and which chains of it are ours."""

    view: NatView
    owned: frozenset[str]


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is different from the program, and what writing would mend it."""

    look: Look
    ruleset: Ruleset
    differences: tuple[Difference, ...]
    plan: Plan
    is_drift: bool


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Brings sandboxes to what was decided, through one backend.

    `monotonic` gives seconds for back-off, `timestamp` an RFC 3339 time for the status.
    """

    backend: NatBackend
    journal: Journal
    monotonic: Callable[[], float]
    timestamp: Callable[[], str]

    async def capture(self, record: PodRecord, desired: Capture, sandbox: Sandbox) -> PodRecord:
        """Make the sandbox hold a program, as far as the capture lets us, and record what is so."""
        record = replace(record, program=desired.spec)
        try:
            assessment = await self._assess(record, desired.spec, sandbox)
        except FAILURES as failure:
            return replace(record, finding=finding_of(failure))
        record = replace(record, backend=assessment.look.view.variant)
        if assessment.is_drift:
            record = with_drift_counted(record, assessment.differences, self.timestamp())
        if assessment.plan.is_empty:
            return _holding(record, desired, sandbox)
        obstacle = _obstacle(record, desired, assessment, self.monotonic())
        if obstacle is not None:
            return _left_alone(record, desired, sandbox, assessment, obstacle)
        return await self._bring_in(record, desired, sandbox, assessment)

    async def release(self, record: PodRecord, sandbox: Sandbox) -> PodRecord:
        """Take everything of ours out of the sandbox; what is not ours stays.

        Returns:
            A record that holds nothing, once the table was read back and nothing of ours is left.
        """
        try:
            look = await self._look(sandbox)
            plan = plan_changes(None, look.view.table, look.owned)
            if not plan.is_empty:
                look = await self._write(sandbox, look, plan)
        except FAILURES as failure:
            return replace(record, finding=finding_of(failure))
        left = {name for name in look.owned if look.view.table.chains[name].policy is None}
        if left:
            return replace(record, finding=_still_referenced(left))
        return replace(
            record,
            finding=PROGRAMMED,
            program=None,
            held_by="",
            held_hash="",
            held_in=None,
            counted=(),
            ports_not_listening=(),
        )

    async def _assess(
        self, record: PodRecord, program: CaptureProgramSpec, sandbox: Sandbox
    ) -> Assessment:
        ruleset = compile_program(program.program, Family.IPV4)
        look = await self._look(sandbox)
        differences = find_drift(ruleset, look.view.table)
        return Assessment(
            look=look,
            ruleset=ruleset,
            differences=differences,
            plan=plan_changes(ruleset, look.view.table, look.owned),
            is_drift=bool(differences) and record.holds(program, sandbox),
        )

    async def _bring_in(
        self, record: PodRecord, desired: Capture, sandbox: Sandbox, assessment: Assessment
    ) -> PodRecord:
        # From here on the chains may be there, whatever becomes of this attempt.
        record = replace(record, held_by=desired.spec.capture_uid)
        if assessment.is_drift:
            record = replace(record, backoff=record.backoff.after_repair(self.monotonic()))
        try:
            after = await self._write(sandbox, assessment.look, assessment.plan)
        except FAILURES as failure:
            return replace(record, finding=finding_of(failure))
        differences = find_drift(assessment.ruleset, after.view.table)
        if differences:
            return replace(record, finding=drifted(differences, "it was written, and is not so"))
        repaired = record.repaired + (1 if assessment.is_drift else 0)
        return _holding(replace(record, repaired=repaired), desired, sandbox)

    async def _look(self, sandbox: Sandbox) -> Look:
        view = await self.backend.observe(sandbox)
        recorded = self.journal.chains(sandbox.key) & view.table.chains.keys()
        self._record(sandbox, recorded)
        return Look(view, owned_chains(view, recorded))

    async def _write(self, sandbox: Sandbox, look: Look, plan: Plan) -> Look:
        if plan.adopted:
            log.info("%s: already as planned, now ours: %s", sandbox.key, ", ".join(plan.adopted))
        # On record first: killed after the write, the next pass must know the chains for ours.
        self._record(sandbox, look.owned.union(plan.create, plan.adopted))
        await self.backend.apply(sandbox, look.view.variant, plan)
        return await self._look(sandbox)

    def _record(self, sandbox: Sandbox, chains: frozenset[str]) -> None:
        try:
            self.journal.record(sandbox.key, chains)
        except OSError as error:
            raise BackendError(
                "JournalUnwritable", f"the agent's state directory can't be written: {error}"
            ) from error


def _obstacle(
    record: PodRecord, desired: Capture, assessment: Assessment, now: float
) -> str | None:
    """Say why the plan may not be written now; None when it may."""
    if desired.spec.suspend:
        return "the capture is suspended: nothing is written"
    if desired.writes is Writes.NONE:
        return "mode is Observe: nothing is written"
    if not assessment.is_drift:
        return None
    if desired.writes is Writes.PROGRAM:
        return "driftPolicy is Report: nothing is repaired"
    wait = record.backoff.wait(now)
    return f"it keeps being changed: next repair in {wait:.1f} s" if wait > 0 else None


def _left_alone(
    record: PodRecord, desired: Capture, sandbox: Sandbox, assessment: Assessment, obstacle: str
) -> PodRecord:
    if not assessment.differences:  # only leftovers of ours beside a complete program
        return _holding(record, desired, sandbox)
    return replace(record, finding=drifted(assessment.differences, obstacle))


def _holding(record: PodRecord, desired: Capture, sandbox: Sandbox) -> PodRecord:
    return replace(
        record,
        finding=PROGRAMMED,
        counted=(),
        held_by=desired.spec.capture_uid,
        held_hash=desired.spec.hash,
        held_in=sandbox.netns,
    )


def _still_referenced(chains: set[str]) -> Finding:
    return failed(
        "ChainReferenced",
        f"rules that are not ours still refer to {', '.join(sorted(chains))}; the chains were "
        "emptied and go when those rules do",
    )
