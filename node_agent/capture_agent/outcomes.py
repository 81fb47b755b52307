"""What a pass came to in each table of a pod, and what that makes of the pod's record. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from capture_agent.desired import Capture
from capture_agent.drift_accounting import MAX_MESSAGE, Obstacle, drifted
from capture_agent.failures import Failure, finding_of
from capture_agent.families import ip_families
from capture_agent.records import PROGRAMMED, Drift, Finding, PodRecord
from capture_agent.sandboxes import Sandbox
from capture_api.node_captures import PodState
from capture_nat.drift import Difference
from capture_nat.families import Family


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pass came to in one table.

    `differences` are left, because of the `obstacle`; `failure` kept the table from being read or
    written. With neither, the table was read and is as it is to be.
    """

    family: Family
    is_captured: bool
    variant: str = ""
    why: str = ""
    """Why it is not the preferred variant."""
    is_drift: bool = False
    was_written: bool = False
    differences: tuple[Difference, ...] = ()
    obstacle: Obstacle | None = None
    failure: Failure | None = None

    @property
    def is_complete(self) -> bool:
        """Whether a table that is to hold rules of ours was read and holds them."""
        return self.is_captured and not self.differences and self.failure is None

    @property
    def still_holds(self) -> bool:
        """Whether the table counts as one that held the program: differences in it are drift."""
        return self.is_complete or self.is_drift

    @property
    def is_repaired(self) -> bool:
        """Whether drift was undone."""
        return self.is_drift and self.was_written and self.is_complete


def concluded(
    record: PodRecord, desired: Capture, sandbox: Sandbox, outcomes: Sequence[Outcome]
) -> PodRecord:
    """Record what a pass came to."""
    why = next((outcome.why for outcome in outcomes if outcome.is_captured and outcome.why), "")
    record = replace(
        record, finding=_finding(outcomes), backend=_backend(outcomes), backend_reason=why
    )
    if any(outcome.was_written for outcome in outcomes):
        # The chains may be there, whatever became of the attempt.
        record = replace(record, held_by=desired.spec.capture_uid)
    if any(outcome.is_complete for outcome in outcomes):
        record = replace(
            record,
            held_by=desired.spec.capture_uid,
            held_hash=desired.spec.hash,
            held_in=sandbox.netns,
            held_families=ip_families(each.family for each in outcomes if each.still_holds),
        )
    if record.finding == PROGRAMMED:
        record = replace(record, counted=())
    if any(outcome.is_repaired for outcome in outcomes):
        record = replace(record, repaired=record.repaired + 1)
        if not any(outcome.is_drift and not outcome.is_complete for outcome in outcomes):
            # All that was counted is undone, whatever may be wrong with the other table: the same
            # drift is a new one next time.
            record = replace(record, counted=())
    return record


def _finding(outcomes: Sequence[Outcome]) -> Finding:
    for outcome in outcomes:
        if outcome.failure is not None:
            return _of_family(outcome, outcomes, finding_of(outcome.failure))
    for outcome in outcomes:
        if outcome.differences and outcome.obstacle is not None:
            drift = tuple(Drift(outcome.family, each) for each in outcome.differences)
            return _of_family(outcome, outcomes, drifted(drift, outcome.obstacle))
    return PROGRAMMED


def _of_family(outcome: Outcome, outcomes: Sequence[Outcome], finding: Finding) -> Finding:
    """Name the family in a finding, where the pod has two."""
    if len(outcomes) == 1 or finding.state is not PodState.FAILED:
        return finding
    (family,) = ip_families([outcome.family])
    return replace(finding, message=f"{family}: {finding.message}"[:MAX_MESSAGE])


def _backend(outcomes: Sequence[Outcome]) -> str:
    by_variant: dict[str, list[Family]] = {}
    for outcome in outcomes:
        if outcome.variant and outcome.is_captured:
            by_variant.setdefault(outcome.variant, []).append(outcome.family)
    if len(by_variant) == 1:
        return next(iter(by_variant))
    return ", ".join(
        f"{variant} ({' '.join(ip_families(families))})" for variant, families in by_variant.items()
    )
