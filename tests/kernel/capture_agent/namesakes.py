"""Pods of one name and the same addresses, each in a Kubernetes namespace of its own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from capture_api.capture_programs import CaptureProgramSpec
from capture_api.node_captures import (
    Captured,
    DispatchedPod,
    NetnsIdentity,
    PodEvidence,
    PodState,
)
from capture_nri import nri_pb2
from kernel.pods import ADDRESS, ADDRESS6, Pod
from unit.capture_agent.captures import program, program_spec, ref
from unit.capture_nri.runtime_side import containerd_pod

NAME: Final = "web"
"""Of every pod, and of every capture."""
ADDRESSES: Final = (ADDRESS, ADDRESS6)
ELSEWHERE: Final = ("10.9.8.8", "fd00:9::8")
"""Addresses that are in no pod's network namespace."""
ADDRESS_MISSING: Final = "AddressMissing"
CHAIN_CONFLICT: Final = "ChainConflict"
_STATES: Final = {
    "": PodState.PROGRAMMED,
    ADDRESS_MISSING: PodState.PENDING,
    CHAIN_CONFLICT: PodState.FAILED,
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the status is to say of a pod."""

    uid: str
    namespace: str
    name: str
    state: PodState
    reason: str
    capture_uid: str = ""
    hash: str = ""
    netns: NetnsIdentity | None = None
    captured: Captured | None = None


@dataclass(frozen=True, slots=True)
class Namesake:
    """A pod `web`, what is to capture it, and what the agent is told of it."""

    namespace: str
    pod: Pod
    spec: CaptureProgramSpec | None
    """None where nothing captures it."""
    is_told: bool
    """Whether the runtime tells of its start; else it runs already when it is dispatched."""
    addresses: tuple[str, ...] = ADDRESSES
    claimed_pid: int | None = None
    """The process that the runtime says is the pod's, if it is not."""
    claimed_path: str = ""
    """Where the runtime says that the pod's network namespace is, of which it names no process."""
    is_inside_another: bool = False
    """Whether its process is in the network namespace of another pod."""
    obstacle: str = ""
    """Why it can't be captured."""
    before: str = ""
    """What somebody else had put into its network namespace, as `nft` lists it."""

    @property
    def program(self) -> CaptureProgramSpec | None:
        """What its network namespace is to hold; None for nothing of ours."""
        return None if self.obstacle else self.spec

    @property
    def may_start(self) -> bool:
        """Whether its containers are let start."""
        return self.spec is None or not self.obstacle

    def dispatched(self) -> DispatchedPod:
        """Dispatch it as the operator does."""
        return DispatchedPod(
            uid=self.pod.uid,
            namespace=self.namespace,
            name=NAME,
            pod_ips=self.addresses,
            program=None if self.spec is None else ref(self.spec, NAME),
        )

    def described(self) -> nri_pb2.PodSandbox:
        """Describe its sandbox as the runtime does."""
        claim: dict[str, Any] = {"pid": self.claimed_pid or self.pod.pid}
        if self.claimed_path:
            network = nri_pb2.LinuxNamespace(type="network", path=self.claimed_path)
            claim = {"pid": 0, "linux": nri_pb2.LinuxPodSandbox(namespaces=[network])}
        uid = self.pod.uid
        return containerd_pod(
            NAME, id=uid, uid=uid, namespace=self.namespace, ips=self.addresses, **claim
        )

    def evidence(self) -> Evidence:
        """Say what the status is to say of it."""
        known = (self.pod.uid, self.namespace, NAME, _STATES[self.obstacle], self.obstacle)
        if self.program is None:
            return Evidence(*known)
        captured = Captured.BEFORE_FIRST_CONTAINER if self.is_told else Captured.LATE
        netns = netns_of(self.pod)
        return Evidence(*known, self.program.capture_uid, self.program.hash, netns, captured)


def evidence_in(found: PodEvidence) -> Evidence:
    """Pick out what is compared; of a pod that holds nothing, whose it may be does not matter."""
    return Evidence(
        found.uid,
        found.namespace,
        found.name,
        found.state,
        found.reason,
        found.capture_uid if found.hash else "",
        found.hash,
        found.netns,
        found.captured,
    )


def netns_of(pod: Pod) -> NetnsIdentity:
    """Identify the network namespace of a pod."""
    found = Path(f"/proc/{pod.pid}/ns/net").stat()
    return NetnsIdentity(device=found.st_dev, inode=found.st_ino)


def capture_of(namespace: str, port: str, generation: int = 1) -> CaptureProgramSpec:
    """Resolve a capture of all pods of a Kubernetes namespace, for this port."""
    return program_spec(
        program(port=port), capture_uid=f"capture-{namespace}", capture_generation=generation
    )
