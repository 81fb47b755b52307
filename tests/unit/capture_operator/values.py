"""Values that the operator decides by, and hypothesis strategies for them."""

from capture_api.captures import TrafficCaptureStatus
from capture_api.contests import Candidate
from capture_api.meta import ObjectMeta
from capture_api.node_captures import (
    Captured,
    DispatchedPod,
    NodeCaptureSpec,
    NodeCaptureStatus,
    PodEvidence,
    PodState,
    ProgramRef,
)
from capture_api.selection import LabelSelector
from capture_operator.captures import Capture, Resolution, read_capture
from capture_operator.pods import Pod
from capture_operator.programs import HeldProgram, program_spec
from capture_operator.reports import NodeReport, node_report
from capture_operator.views import CaptureView
from unit.capture_operator.objects import EPOCH, raw_capture


def pod(  # noqa: PLR0913 - keyword arguments with defaults
    name: str,
    *,
    namespace: str = "demo",
    node: str = "node1",
    labels: dict[str, str] | None = None,
    finished: bool = False,
    network_since: float | None = EPOCH - 3600,
) -> Pod:
    """Make a running pod; its UID is its name."""
    return Pod(
        namespace=namespace,
        name=name,
        uid=name,
        labels=labels or {},
        node=node,
        finished=finished,
        host_network=False,
        runtime_class="",
        static_pod_uid=None,
        ips=() if network_since is None else ("10.244.0.9",),
        created=EPOCH - 3600,
        network_since=network_since,
        ready=True,
    )


def ref(name: str = "web", *, generation: int = 1, program: str = "h1") -> ProgramRef:
    """Refer to a program; the capture's UID is derived from its name."""
    return ProgramRef(name=name, capture_uid=f"uid-{name}", generation=generation, hash=program)


def entry(
    name: str = "web", *, labels: dict[str, str] | None = None, priority: int = 0
) -> Candidate:
    """Enter a capture in the contest for pods with these labels."""
    return Candidate(
        selector=LabelSelector(match_labels=labels or {}),
        priority=priority,
        created="2026-01-01T00:00:00Z",
        name=name,
        ref=ref(name),
    )


def evidence(  # noqa: PLR0913 - the same
    name: str,
    state: PodState = PodState.PROGRAMMED,
    *,
    about: ProgramRef | None = None,
    namespace: str = "demo",
    reason: str = "",
    not_listening: tuple[int, ...] = (),
    captured: Captured | None = None,
) -> PodEvidence:
    """Report a pod to be in a state, about a program."""
    about = about or ref()
    return PodEvidence(
        uid=name,
        namespace=namespace,
        name=name,
        state=state,
        reason=reason,
        capture_uid=about.capture_uid,
        generation=about.generation,
        hash=about.hash,
        captured=captured,
        ports_not_listening=not_listening,
    )


def dispatched(
    name: str, program: ProgramRef | None = None, *, namespace: str = "demo"
) -> DispatchedPod:
    """Dispatch a pod to a program, or to none."""
    return DispatchedPod(uid=name, namespace=namespace, name=name, program=program)


def report(
    node: str = "node1",
    *,
    pods: tuple[DispatchedPod, ...] = (),
    found: tuple[PodEvidence, ...] = (),
    generation: int = 1,
    observed: int | None = None,
) -> NodeReport:
    """Make a NodeCapture; its agent is up to date unless `observed` says otherwise."""
    return node_report(
        ObjectMeta(name=node, uid=f"uid-{node}", generation=generation),
        NodeCaptureSpec(pods=pods),
        NodeCaptureStatus(
            observed_generation=generation if observed is None else observed, pods=found
        ),
    )


def capture(
    *,
    status: TrafficCaptureStatus | None = None,
    deleting: bool = False,
    generation: int = 1,
    **spec: object,
) -> Capture:
    """Make the capture `web` in `demo`, whose UID is `uid-web`."""
    raw = raw_capture(**spec)  # type: ignore[arg-type]
    raw["metadata"] |= {"uid": "uid-web", "generation": generation}
    if deleting:
        raw["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    made = read_capture(raw)
    return Capture(
        metadata=made.metadata,
        resolution=made.resolution,
        status=status or TrafficCaptureStatus(),
    )


def view(  # noqa: PLR0913 - the same
    *,
    of: Capture | None = None,
    pods: tuple[Pod, ...] = (),
    candidates: tuple[Candidate, ...] | None = None,
    reports: tuple[NodeReport, ...] = (),
    out_of_reach: dict[str, float] | None = None,
    now: float = EPOCH,
) -> CaptureView:
    """Look at a capture whose CaptureProgram is up to date."""
    of = of or capture()
    program = None
    if isinstance(of.resolution, Resolution):
        program = HeldProgram(ObjectMeta(name="web", uid="p"), program_spec(of, of.resolution))
    return CaptureView(
        capture=of,
        program=program,
        candidates=(entry(),) if candidates is None else candidates,
        pods=pods,
        reports={item.metadata.name: item for item in reports},
        out_of_reach=out_of_reach or {},
        release=None,
        now=now,
    )
