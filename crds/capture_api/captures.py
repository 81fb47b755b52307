"""TrafficCapture: what the user writes (`crds/trafficcapture.yaml`)."""

from enum import StrEnum
from typing import Annotated, Any

import msgspec

from capture_api.conditions import Condition
from capture_api.meta import ObjectMeta
from capture_api.programs import Dns, Inbound, IpFamilies, IpFamily, Outbound, Proxy
from capture_api.selection import LabelSelector
from capture_api.wire import WireStruct


class Mode(StrEnum):
    """Whether the agents write (`Enforce`) or only look and report (`Observe`)."""

    ENFORCE = "Enforce"
    OBSERVE = "Observe"


class DriftPolicy(StrEnum):
    """What an agent does about rules that are not as programmed."""

    REPAIR = "Repair"
    REPORT = "Report"


class FailurePolicy(StrEnum):
    """What becomes of a starting pod that can't be captured, where the runtime asks the agent.

    `Fail`: it does not start uncaptured. `Ignore`: it starts, and the status says so.
    """

    FAIL = "Fail"
    IGNORE = "Ignore"


class EstablishedConnections(StrEnum):
    """What becomes of connections that began before a pod was captured.

    `Keep`: they go on where they went. `Reset`: they end, and what takes their place is captured.
    """

    KEEP = "Keep"
    RESET = "Reset"


def guards_start(mode: Mode, policy: FailurePolicy, *, suspend: bool) -> bool:
    """Whether a pod that can't be captured is not to start: not where nothing is written."""
    return policy is FailurePolicy.FAIL and mode is Mode.ENFORCE and not suspend


class TrafficCaptureSpec(WireStruct, frozen=True):
    """The desired redirection of the selected pods; fields as in the schema."""

    pod_selector: LabelSelector
    priority: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)] = 0
    mode: Mode = Mode.ENFORCE
    suspend: bool = False
    drift_policy: DriftPolicy = DriftPolicy.REPAIR
    failure_policy: FailurePolicy = FailurePolicy.FAIL
    established_connections: EstablishedConnections = EstablishedConnections.KEEP
    chain_prefix: str = "CAPTURE"
    proxy: Proxy = Proxy()
    ip_families: IpFamilies = ()
    inbound: Inbound | None = None
    outbound: Outbound | None = None
    dns: Dns | None = None

    @property
    def guards_start(self) -> bool:
        """Whether a pod that can't be captured is not to start."""
        return guards_start(self.mode, self.failure_policy, suspend=self.suspend)


class PodCounts(WireStruct, frozen=True, omit_defaults=False):
    """Pods by what is known of them; `matched` is the sum of the others but `late`.

    `superseded` pods match, but another capture of higher precedence has them. `late` counts, among
    the programmed and drifted ones, those that were captured after their first container began.
    """

    matched: int = 0
    programmed: int = 0
    drifted: int = 0
    failed: int = 0
    not_applicable: int = 0
    pending: int = 0
    superseded: int = 0
    late: int = 0


class LastDrift(WireStruct, frozen=True):
    """The newest difference seen between a pod's rules and its program."""

    time: str
    pod: str
    kind: str
    ip_family: IpFamily | None = None
    expected: str = ""
    found: str = ""
    actor: str = ""


class DriftCounts(WireStruct, frozen=True, omit_defaults=False):
    """How often drift was detected and repaired since the capture was created."""

    detected: int = 0
    repaired: int = 0
    last: LastDrift | None = None


class PodAttention(WireStruct, frozen=True):
    """One pod that is not as it should be, and why (at most 256 characters)."""

    pod: str
    node: str
    state: str
    reason: str
    message: str = ""


class TrafficCaptureStatus(WireStruct, frozen=True):
    """Evidence about a capture, written by the operator alone."""

    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()
    pods: PodCounts = PodCounts()
    drift: DriftCounts = DriftCounts()
    attention: tuple[PodAttention, ...] = ()


class TrafficCapture(WireStruct, frozen=True):
    """A TrafficCapture whose spec is not decoded yet, so that one bad spec spoils nothing else."""

    metadata: ObjectMeta
    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: TrafficCaptureStatus = TrafficCaptureStatus()
