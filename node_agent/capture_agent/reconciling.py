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
go); this module puts them in order around the effects, for all tables of the pod at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec
from msgspec.structs import replace

from capture_agent.assessments import Assessed, Assessment, Wanted, planned
from capture_agent.broker_client import BrokerLostError, SandboxRefusedError
from capture_agent.desired import Capture, Writes
from capture_agent.drift_accounting import (
    CONTENDED,
    MAX_MESSAGE,
    Obstacle,
    failed,
    with_drift_counted,
)
from capture_agent.failures import Failure, finding_of
from capture_agent.families import captured_families, pod_families
from capture_agent.journal import Journal
from capture_agent.judgements import Judgements
from capture_agent.kept_flows import Keep
from capture_agent.nat_backends import NatBackend
from capture_agent.outcomes import Outcome, concluded
from capture_agent.pod_tables import PodTables
from capture_agent.records import PROGRAMMED, Drift, Finding, PodRecord
from capture_agent.sandboxes import Sandbox
from capture_agent.timestamps import rfc3339
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
_compiled = lru_cache(maxsize=64)(compile_program)
"""A node's pods share few programs, and each is compiled at every look. The largest take half a
megabyte a family: whoever changes one all the time must not fill the agent's memory."""
_captured = lru_cache(maxsize=256)(captured_families)
"""So it is with the families of a pod, whose addresses stay what they are."""
_FAMILIES = tuple(Family)
NOT_SO = Obstacle("it was written, and is not so")


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Brings sandboxes to what was decided, through one backend.

    `monotonic` gives seconds for back-off, `wall` those since the epoch for the status.
    """

    backend: NatBackend
    journal: Journal
    monotonic: Callable[[], float]
    wall: Callable[[], float]
    keep: Keep | None = None
    """Has the connections of a sandbox go on as they are when the first rules come in."""
    judgements: Judgements = field(default_factory=Judgements)

    async def capture(self, record: PodRecord, desired: Capture, sandbox: Sandbox) -> PodRecord:
        """Make the sandbox hold a program, as far as the capture lets us, and record what is so."""
        if record.program is not desired.spec:
            record = replace(record, program=desired.spec)
        captured = _captured(desired.spec.program, sandbox.pod_ips)
        if not captured:
            return replace(record, finding=_NO_FAMILY)
        try:
            rulesets = {each: _compiled(desired.spec.program, each) for each in captured}
        except UnenforceableProgramError as failure:
            return replace(record, finding=finding_of(failure))
        tables = self._tables(record, desired, sandbox, rulesets)
        assessed = await tables.assess()
        obstacles = _Obstacles(record, desired, self.monotonic())
        writable = _writable(assessed, obstacles)
        not_kept = await self._kept(record, desired, sandbox, written=bool(writable))
        seen_at = self.wall()
        after = await tables.write(writable)
        record = _with_drift(record, assessed, seen_at)
        outcomes = [
            _outcome(tables, family, found, obstacles, after.get(family))
            for family, found in assessed.items()
        ]
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
        families = pod_families(sandbox.pod_ips) | self.journal.families(sandbox.key)
        tables = self._pod_tables(sandbox, {each: Wanted() for each in families})
        assessed = await tables.assess()
        after = {**assessed, **await tables.write(planned(assessed))}
        left: set[str] = set()
        for found in after.values():
            if not isinstance(found, Assessment):
                return replace(record, finding=finding_of(found))
            left |= found.look.left
        return replace(record, finding=_still_referenced(left)) if left else record.released()

    def _tables(
        self,
        record: PodRecord,
        desired: Capture,
        sandbox: Sandbox,
        rulesets: Mapping[Family, Ruleset],
    ) -> PodTables:
        """Choose the tables to look at: the captured ones, and those that may have leftovers."""
        families = rulesets.keys() | self.journal.families(sandbox.key)
        if not record.holds(desired.spec, sandbox):
            families |= pod_families(sandbox.pod_ips)
        wanted = {
            each: Wanted(rulesets.get(each), record.holds(desired.spec, sandbox, each))
            for each in families
        }
        return self._pod_tables(sandbox, wanted)

    def _pod_tables(self, sandbox: Sandbox, wanted: Mapping[Family, Wanted]) -> PodTables:
        ordered = {family: wanted[family] for family in _FAMILIES if family in wanted}
        return PodTables(sandbox, self.backend, self.journal, self.judgements, ordered)


class _Obstacles(msgspec.Struct, frozen=True):
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


def _with_drift(record: PodRecord, assessed: Assessed, seen_at: float) -> PodRecord:
    drift: list[Drift] = []
    for family, found in assessed.items():
        if isinstance(found, Assessment) and found.is_drift:
            actor = str(found.look.view.changed_by or "")
            drift += [Drift(family, difference, actor) for difference in found.differences]
    return with_drift_counted(record, tuple(drift), rfc3339(seen_at)) if drift else record


def _writable(assessed: Assessed, obstacles: _Obstacles) -> dict[Family, Assessment]:
    """Choose the tables that are to be written now."""
    return {
        family: found for family, found in planned(assessed).items() if obstacles.to(found) is None
    }


def _outcome(
    tables: PodTables,
    family: Family,
    found: Assessment | Failure,
    obstacles: _Obstacles,
    read_back: Assessment | Failure | None,
) -> Outcome:
    """Say what a pass came to in one table, which was read back if it was written."""
    is_captured = tables.wanted[family].ruleset is not None
    if not isinstance(found, Assessment):
        return Outcome(family, is_captured, failure=found)
    # Who serves may have changed: what netlink is refused, the tools write.
    last = read_back if isinstance(read_back, Assessment) else found
    return Outcome(
        family,
        is_captured,
        variant=last.look.view.variant,
        why=last.look.view.why,
        is_drift=found.is_drift,
        was_written=read_back is not None,
        differences=last.differences,
        obstacle=NOT_SO if read_back is not None else obstacles.to(found),
        failure=None if isinstance(read_back, Assessment) else read_back,
    )


def _still_referenced(chains: set[str]) -> Finding:
    return failed(
        "ChainReferenced",
        f"rules that are not ours still refer to {', '.join(sorted(chains))}; the chains were "
        "emptied and go when those rules do",
    )
