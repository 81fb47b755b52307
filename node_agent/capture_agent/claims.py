"""Which capture claims a pod that starts. Pure."""

from dataclasses import dataclass

from capture_agent.candidates import Candidates
from capture_agent.records import PodRecord
from capture_api.contests import Candidate
from capture_api.node_captures import DispatchedPod, ProgramRef
from capture_nri.pod_sandboxes import PodSandbox

_RUNTIME_LABELS = ("io.kubernetes.pod.", "io.cri-containerd.")
"""What the kubelet and the runtime add to a pod's labels."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A capture's claim to a starting pod."""

    pod: DispatchedPod
    program: ProgramRef
    candidate: Candidate | None
    """None where the dispatch names a program that has not reached this node."""

    @property
    def guards_start(self) -> bool:
        """Whether the pod is not to start uncaptured."""
        return self.candidate is None or self.candidate.guards_start

    @property
    def capture(self) -> str:
        """The TrafficCapture that claims the pod."""
        return f"{self.pod.namespace}/{self.program.name}"


def claim_to(
    described: PodSandbox, record: PodRecord | None, candidates: Candidates
) -> Claim | None:
    """Find the claim to a pod: that of its dispatch, or else what the operator will decide.

    Args:
        described: the pod's sandbox.
        record: what is known of the pod.
        candidates: the captures that may select it.
    """
    if described.netns_path is None:
        return None  # it is on the node's network
    if record is not None and not record.is_provisional:
        return _dispatched(record.pod, candidates)
    candidate = candidates.winner(described.namespace, _own_labels(described))
    if candidate is None:
        return None
    return Claim(_pod(described, candidate.ref), candidate.ref, candidate)


def unclaimed(described: PodSandbox) -> DispatchedPod:
    """Dispatch a pod to nothing, as long as nobody else dispatches it."""
    return _pod(described, None)


def _dispatched(pod: DispatchedPod, candidates: Candidates) -> Claim | None:
    if pod.program is None:
        return None
    return Claim(pod, pod.program, candidates.named(pod.namespace, pod.program.name))


def _own_labels(described: PodSandbox) -> dict[str, str]:
    labels = described.labels.items()
    return {key: value for key, value in labels if not key.startswith(_RUNTIME_LABELS)}


def _pod(described: PodSandbox, program: ProgramRef | None) -> DispatchedPod:
    return DispatchedPod(
        uid=described.uid,
        namespace=described.namespace,
        name=described.name,
        pod_ips=described.ips,
        runtime_class=described.runtime_handler,
        program=program,
    )
