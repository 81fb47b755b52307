"""NodeCapture: dispatch to one node and the evidence from it (`crds/nodecapture.yaml`)."""

from enum import StrEnum
from typing import Final

import msgspec

from capture_api.captures import LastDrift
from capture_api.meta import ObjectMeta
from capture_api.programs import IpFamilies
from capture_api.wire import WireStruct


class ProgramRef(WireStruct, frozen=True):
    """The CaptureProgram a pod is to have, named by namespace-local name and content."""

    name: str
    capture_uid: str
    generation: int
    hash: str


class DispatchedPod(WireStruct, frozen=True):
    """One pod of the node; without `program` it is decided that nothing captures it.

    `static_pod_uid` is given for the mirror of a static pod: the UID under which the kubelet runs
    that one, empty if the mirror doesn't tell.
    """

    uid: str
    namespace: str
    name: str
    pod_ips: tuple[str, ...] = ()
    host_network: bool = False
    runtime_class: str = ""
    static_pod_uid: str | None = None
    program: ProgramRef | None = None


class NodeCaptureSpec(WireStruct, frozen=True, omit_defaults=False):
    """Every pod of the node in a namespace that has captures, ordered by UID."""

    pods: tuple[DispatchedPod, ...] = ()


class PodState(StrEnum):
    """What an agent knows of a pod it was dispatched."""

    PENDING = "Pending"
    """Not looked at yet, or its network namespace is not there yet."""
    PROGRAMMED = "Programmed"
    """Read back from the kernel and found equal to the program."""
    DRIFTED = "Drifted"
    """Read, and different; it is only reported, or its repair is backing off."""
    FAILED = "Failed"
    """It could not be read or written; `reason` and `message` say why."""
    NOT_APPLICABLE = "NotApplicable"
    """A pod that is never captured, e.g. on the host network; `reason` says which."""


START_REFUSED: Final = "StartRefused"
"""Reason of a `Failed` pod that the agent did not let start: it could not be captured."""


class Captured(StrEnum):
    """When a pod's rules were there, seen from its containers."""

    BEFORE_FIRST_CONTAINER = "BeforeFirstContainer"
    """None of its processes ever ran without them."""
    LATE = "Late"
    """It ran without them, if only for a moment."""


class NetnsIdentity(WireStruct, frozen=True):
    """A network namespace by the device and inode number of its nsfs file."""

    device: int
    inode: int


class PodEvidence(WireStruct, frozen=True):
    """What an agent found in one pod; counters go on over restarts of the agent."""

    uid: str
    namespace: str
    name: str
    state: PodState
    reason: str = ""
    message: str = ""
    capture_uid: str = ""
    generation: int = 0
    hash: str = ""
    """Hash of the program that the kernel was found to hold; empty when it holds none of ours."""
    ip_families: IpFamilies = ()
    """The families in which it was found, those that the pod and the program have in common."""
    netns: NetnsIdentity | None = None
    backend: str = ""
    backend_reason: str = ""
    """Why it is not the fastest that the agent has; empty when it is."""
    captured: Captured | None = None
    """None while it is not captured, or where it is not known."""
    exposed_milliseconds: int | None = None
    """How long a late one ran without its rules; None where it is not known."""
    ports_not_listening: tuple[int, ...] = ()
    """Redirect ports on which nobody in the pod listens."""
    drift_detected: int = 0
    drift_repaired: int = 0
    last_drift: LastDrift | None = None


class PastDrift(WireStruct, frozen=True):
    """Drift of a capture's pods that are gone from this node, so that its counts never fall."""

    capture_uid: str
    detected: int = 0
    repaired: int = 0


class NriConnection(WireStruct, frozen=True):
    """Whether the container runtime asks the agent before it starts a pod (NRI).

    `runtime` and `version` are what it last called itself; `since` is when `connected` became what
    it is (RFC 3339, UTC).
    """

    connected: bool
    runtime: str = ""
    version: str = ""
    since: str | None = None


class AgentInfo(WireStruct, frozen=True, omit_defaults=False):
    """The agent that wrote the status; `ready: false` is said, not left out."""

    version: str = ""
    ready: bool = False
    boot_id: str = ""
    """Which boot of the node this was: a network namespace's identity means nothing in another."""
    backends: tuple[str, ...] = ()
    nri: NriConnection | None = None
    """None where the agent does not ask for the connection."""
    held_sandboxes: int = 0
    """Pods' network namespaces that it holds open, each until its pod's sandbox ends."""
    held_descriptors: int = 0
    """File descriptors by which it does."""


class NodeCaptureStatus(WireStruct, frozen=True, omit_defaults=False):
    """Evidence about one node, written by its agent alone."""

    observed_generation: int = 0
    agent: AgentInfo = AgentInfo()
    pod_count: int = 0
    """Always the length of `pods`: a printer column cannot count a list."""
    pods: tuple[PodEvidence, ...] = ()
    past_drift: tuple[PastDrift, ...] = ()

    def __post_init__(self) -> None:
        """Count the pods, whatever was given."""
        msgspec.structs.force_setattr(self, "pod_count", len(self.pods))


class NodeCapture(WireStruct, frozen=True):
    """One node's dispatch and evidence; named as the node."""

    metadata: ObjectMeta
    spec: NodeCaptureSpec = NodeCaptureSpec()
    status: NodeCaptureStatus = NodeCaptureStatus()
