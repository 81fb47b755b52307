"""What the agent remembers of a pod between passes, and the evidence it makes of it. Pure.

The evidence in `NodeCapture.status` is also the agent's memory across its own restart: a record
begins as what the previous agent reported, as long as pod and network namespace are the same.
"""

import msgspec
from msgspec.structs import replace

from capture_agent.families import IP_FAMILIES
from capture_agent.repair_backoff import RepairBackoff
from capture_agent.sandboxes import Sandbox
from capture_api.capture_programs import CaptureProgramSpec
from capture_api.captures import LastDrift
from capture_api.node_captures import Captured, DispatchedPod, NetnsIdentity, PodEvidence, PodState
from capture_api.programs import IpFamilies
from capture_nat.drift import Difference
from capture_nat.families import Family


class Drift(msgspec.Struct, frozen=True):
    """A difference, the family in whose table it is, and who made it, if that was seen."""

    family: Family
    difference: Difference
    actor: str = ""


class Finding(msgspec.Struct, frozen=True):
    """What a pass concluded about a pod; `reason` and `message` are empty when all is well."""

    state: PodState
    reason: str = ""
    message: str = ""


PROGRAMMED = Finding(PodState.PROGRAMMED)


class PodRecord(msgspec.Struct, frozen=True):
    """A dispatched pod and what is known of it."""

    pod: DispatchedPod
    finding: Finding = Finding(PodState.PENDING, "NotExamined", "not examined yet")
    program: CaptureProgramSpec | None = None
    """The program that the pod was last decided to have."""
    held_by: str = ""
    """UID of the capture whose chains are, or may be, in the pod."""
    held_hash: str = ""
    """Hash of the program that was last read back complete from `held_in`."""
    held_in: NetnsIdentity | None = None
    held_families: IpFamilies = ()
    """The families in whose tables that was so."""
    backend: str = ""
    backend_reason: str = ""
    captured: Captured | None = None
    """Whether the rules were in `held_in` before the pod's first container."""
    exposed_milliseconds: int | None = None
    ports_not_listening: tuple[int, ...] = ()
    detected: int = 0
    repaired: int = 0
    counted: tuple[Drift, ...] = ()
    """The drift that was counted last: the same drift, still there, is not a new one."""
    last_drift: LastDrift | None = None
    backoff: RepairBackoff = RepairBackoff()
    is_starting: bool = False
    """Whether the pod has no container yet: so for the time of a look, and never kept."""
    is_provisional: bool = False
    """Whether it was not dispatched yet: it is starting, and a program selects it."""
    examined_generation: int = 0
    """Generation of the NodeCapture under which the pod was last examined."""

    def holds(
        self, program: CaptureProgramSpec, sandbox: Sandbox, family: Family | None = None
    ) -> bool:
        """Whether the sandbox was seen holding the program: a difference now is drift.

        With `family`, whether it was seen in the table of that family.
        """
        is_same = self.held_hash == program.hash and self.held_in == sandbox.netns
        return is_same and (family is None or IP_FAMILIES[family] in self.held_families)

    def released(self) -> "PodRecord":
        """Record that nothing of ours is in the pod."""
        return replace(self.without_sandbox(), finding=PROGRAMMED, program=None, held_by="")

    def without_sandbox(self) -> "PodRecord":
        """Believe nothing of the sandbox any more: it is gone, and the next one begins empty.

        Its network namespace's inode number may be the next one's.
        """
        return replace(
            self,
            held_hash="",
            held_in=None,
            held_families=(),
            captured=None,
            exposed_milliseconds=None,
            counted=(),
            ports_not_listening=(),
        )

    @property
    def is_reported(self) -> bool:
        """Whether there is anything to say: a pod that nothing captures or captured is silent."""
        return self.pod.program is not None or bool(self.held_by)

    @property
    def is_released(self) -> bool:
        """Whether the pod was found free of anything of ours, and is to stay so."""
        return (
            self.pod.program is None
            and not self.held_by
            and self.finding.state is PodState.PROGRAMMED
        )

    def evidence(self) -> PodEvidence:
        """State what is known, for `NodeCapture.status`."""
        program = self.program
        is_current = program is not None and program.capture_uid == self.held_by
        return PodEvidence(
            uid=self.pod.uid,
            namespace=self.pod.namespace,
            name=self.pod.name,
            state=self.finding.state,
            reason=self.finding.reason,
            message=self.finding.message,
            capture_uid=self.held_by,
            generation=program.capture_generation if program is not None and is_current else 0,
            hash=self.held_hash,
            netns=self.held_in,
            ip_families=self.held_families,
            backend=self.backend,
            backend_reason=self.backend_reason,
            captured=self.captured,
            exposed_milliseconds=self.exposed_milliseconds,
            ports_not_listening=self.ports_not_listening,
            drift_detected=self.detected,
            drift_repaired=self.repaired,
            last_drift=self.last_drift,
        )


def record_of(reported: PodEvidence) -> PodRecord:
    """Begin the record of a pod from what an earlier agent reported of it."""
    return PodRecord(
        pod=DispatchedPod(uid=reported.uid, namespace=reported.namespace, name=reported.name),
        finding=Finding(reported.state, reported.reason, reported.message),
        held_by=reported.capture_uid,
        held_hash=reported.hash,
        held_in=reported.netns,
        held_families=reported.ip_families,
        backend=reported.backend,
        backend_reason=reported.backend_reason,
        captured=reported.captured,
        exposed_milliseconds=reported.exposed_milliseconds,
        ports_not_listening=reported.ports_not_listening,
        detected=reported.drift_detected,
        repaired=reported.drift_repaired,
        last_drift=reported.last_drift,
    )
