"""What a capture's status is computed from, and where each of its pods stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from capture_api.contests import Candidate
from capture_api.node_captures import PodEvidence
from capture_operator.captures import Capture
from capture_operator.pods import Pod
from capture_operator.programs import HeldProgram
from capture_operator.releasing import Release
from capture_operator.reports import NodeReport


@dataclass(frozen=True, slots=True)
class CaptureView:
    """One capture with everything that its status depends on.

    Args:
        capture: the capture.
        program: its CaptureProgram, if there is one.
        candidates: every candidate of its namespace, itself included.
        pods: every pod of its namespace.
        reports: NodeCaptures by node.
        out_of_reach: nodes that are, and since when.
        release: what holds it, if it is being deleted.
        now: seconds since the epoch.
    """

    capture: Capture
    program: HeldProgram | None
    candidates: Sequence[Candidate]
    pods: Sequence[Pod]
    reports: Mapping[str, NodeReport]
    out_of_reach: Mapping[str, float]
    release: Release | None
    now: float


class Standing(StrEnum):
    """What is known of a matched pod; each pod has exactly one. Worst first."""

    FAILED = "Failed"
    DRIFTED = "Drifted"
    PENDING = "Pending"
    PROGRAMMED = "Programmed"
    SUPERSEDED = "Superseded"
    NOT_APPLICABLE = "NotApplicable"


@dataclass(frozen=True, slots=True)
class PodStanding:
    """Where a matched pod stands, and why.

    `settled` is False while the pod's network is younger than 10 s, or not there: a pod in its
    first seconds says nothing about whether the capture works. One that an agent does not let start
    never gets a network; its own age counts. `recheck_after` is in how many seconds time alone
    changes this.
    """

    pod: Pod
    standing: Standing
    reason: str = ""
    message: str = ""
    evidence: PodEvidence | None = None
    settled: bool = True
    recheck_after: float | None = None
