"""What one pod is to have, from what was dispatched and what is known. Pure.

Absence has a meaning of its own: a program that has not arrived, or is newer than this agent, is no
reason to take anything away from a running pod.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

import msgspec
from msgspec.structs import replace

from capture_api.capture_programs import CaptureProgram, CaptureProgramSpec
from capture_api.captures import DriftPolicy, Mode
from capture_api.names import SCHEMA_VERSION
from capture_api.node_captures import DispatchedPod, ProgramRef
from capture_api.programs import Program
from capture_api.wire import MalformedObjectError, decode

Programs = Mapping[tuple[str, str], CaptureProgram]
"""CapturePrograms by namespace and name."""


class Writes(Enum):
    """How far an agent may go in a pod."""

    NONE = "none"
    """Look and report: `mode: Observe`, and `suspend`."""
    PROGRAM = "program"
    """Bring in a new program; report later drift: `driftPolicy: Report`."""
    REPAIR = "repair"
    """Bring in a new program and undo drift."""


class Capture(msgspec.Struct, frozen=True):
    """The pod is to hold this program.

    `behind` says why it is not the one that was dispatched, if that is so.
    """

    spec: CaptureProgramSpec
    behind: "Wait | None" = None

    @property
    def writes(self) -> Writes:
        """How far the capture lets the agent go."""
        if self.spec.suspend or self.spec.mode is Mode.OBSERVE:
            return Writes.NONE
        if self.spec.drift_policy is DriftPolicy.REPORT:
            return Writes.PROGRAM
        return Writes.REPAIR


class Release(msgspec.Struct, frozen=True):
    """It was decided that nothing captures the pod: nothing of ours may be in it."""


class Wait(msgspec.Struct, frozen=True):
    """Keep what is there and look again; `reason` and `message` go into the status."""

    reason: str
    message: str


class NotApplicable(msgspec.Struct, frozen=True):
    """The pod can never be captured."""

    reason: str
    message: str


Desired = Capture | Release | Wait | NotApplicable


@lru_cache(maxsize=64)
def _shared(program: Program) -> Program:
    """Give all pods that are to have the same one object, which is known again at a glance."""
    return program


def desired_for(
    pod: DispatchedPod,
    programs: Programs,
    known: CaptureProgramSpec | None,
    sandboxed: Iterable[str] = (),
) -> Desired:
    """Decide what a dispatched pod is to have.

    Args:
        pod: the pod as the operator dispatched it.
        programs: the CapturePrograms that the agent sees now.
        known: the program that the pod was last decided to have, if any.
        sandboxed: patterns of the runtime classes whose pods have a network stack of their own.
    """
    never = _never(pod, sandboxed)
    if never is not None:
        return never
    if pod.program is None:
        return Release()
    found = _program(pod.program, programs.get((pod.namespace, pod.program.name)))
    if isinstance(found, CaptureProgramSpec):
        return Capture(found)
    if known is not None and known.capture_uid == pod.program.capture_uid:
        return Capture(known, behind=found)
    return found


def _never(pod: DispatchedPod, sandboxed: Iterable[str]) -> NotApplicable | None:
    """Say why a pod can never be captured; None if it can."""
    if pod.host_network:
        return NotApplicable(
            "HostNetwork", "the pod uses the node's network; the node's rules are never touched"
        )
    runtime = pod.runtime_class
    if runtime and any(fnmatchcase(runtime, pattern) for pattern in sandboxed):
        return NotApplicable(
            "SandboxedRuntime",
            f"the runtime {runtime} keeps the pod's network stack where no rules of the "
            "node's kernel reach it",
        )
    if pod.static_pod_uid == "":
        return NotApplicable(
            "StaticPod", "the mirror of this static pod does not say which pod the kubelet runs"
        )
    return None


def _program(ref: ProgramRef, program: CaptureProgram | None) -> CaptureProgramSpec | Wait:
    if program is None or program.spec.get("captureUID") != ref.capture_uid:
        return Wait("ProgramUnknown", f"CaptureProgram {ref.name} has not reached this node yet")
    spec = _decode(program.spec)
    if isinstance(spec, Wait):
        return spec
    # A newer generation than the dispatched one is already what the user wants.
    if spec.capture_generation < ref.generation:
        return Wait(
            "ProgramOutdated",
            f"generation {ref.generation} of CaptureProgram {ref.name} has not reached this node",
        )
    return spec


def _decode(raw: dict[str, Any]) -> CaptureProgramSpec | Wait:
    if raw.get("schemaVersion") not in range(1, SCHEMA_VERSION + 1):
        return Wait(
            "AgentTooOld",
            f"the program has schemaVersion {raw.get('schemaVersion')}, this agent knows "
            f"{SCHEMA_VERSION}: upgrade the agents; what is enforced stays",
        )
    try:
        spec = decode(raw, CaptureProgramSpec)
    except MalformedObjectError as error:
        return Wait("ProgramMalformed", f"the CaptureProgram can't be read: {error}")
    return replace(spec, program=_shared(spec.program))
