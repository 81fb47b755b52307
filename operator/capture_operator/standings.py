"""Where each pod of a capture stands: only evidence for what was dispatched counts.

An agent's word is taken for its own node's pods, and of those for what this operator told that
node to do: the same pod UID, the same capture, and the program that was dispatched. Anything else
leaves the pod pending.
"""

from collections.abc import Iterator
from typing import Final

from capture_api.node_captures import START_REFUSED, PodEvidence, PodState, ProgramRef
from capture_api.selection import LabelSelector, winner
from capture_operator.captures import Problem, Resolution
from capture_operator.pods import Pod
from capture_operator.reachability import UNREACHABLE_AFTER, is_unreachable
from capture_operator.views import CaptureView, PodStanding, Standing

SETTLED_AFTER: Final = 10.0
"""Seconds that a pod's network has been there before the pod bears on `Ready`; of a pod that is not
let start, seconds since it was created."""

_STANDINGS: Final = {
    PodState.PENDING: Standing.PENDING,
    PodState.PROGRAMMED: Standing.PROGRAMMED,
    PodState.DRIFTED: Standing.DRIFTED,
    PodState.FAILED: Standing.FAILED,
    PodState.NOT_APPLICABLE: Standing.NOT_APPLICABLE,
}


def standings(view: CaptureView) -> list[PodStanding]:
    """Find out where each pod of a capture stands, in the order of their names."""
    matched = _held_pods(view) if view.capture.deleting else _matched(view)
    return sorted(matched, key=lambda item: item.pod.name)


def is_resolved(view: CaptureView) -> bool:
    """Whether agents can read what the capture's spec means."""
    held = view.program
    if held is None or held.spec is None:
        return False
    metadata = view.capture.metadata
    return (held.spec.capture_uid, held.spec.capture_generation) == (
        metadata.uid,
        metadata.generation,
    )


def _held_pods(view: CaptureView) -> Iterator[PodStanding]:
    """Pods that a capture which is being deleted still has."""
    for pod in view.pods:
        ref, evidence = _dispatched(view, pod), _evidence(view, pod)
        uids = {ref.capture_uid if ref else "", evidence.capture_uid if evidence else ""}
        if view.capture.metadata.uid in uids:
            yield PodStanding(pod, Standing.PENDING, "Releasing", "its chains are being removed")


def _matched(view: CaptureView) -> Iterator[PodStanding]:
    selector = _selector(view)
    if selector is None:
        return
    resolved = is_resolved(view) or isinstance(view.capture.resolution, Problem)
    for pod in view.pods:
        if selector.matches(pod.labels):
            yield _standing(view, pod, resolved=resolved)


def _selector(view: CaptureView) -> LabelSelector | None:
    if isinstance(view.capture.resolution, Resolution):
        return view.capture.resolution.spec.pod_selector
    if view.capture.excluded:
        return None
    if view.program is not None and view.program.spec is not None:
        return view.program.spec.selector  # of the last valid spec, which is still in force
    return None


def _standing(view: CaptureView, pod: Pod, *, resolved: bool) -> PodStanding:
    if pod.finished:
        return PodStanding(pod, Standing.NOT_APPLICABLE, "Finished", "the pod has finished")
    won = winner(view.candidates, pod.labels)
    if not resolved or won is None:
        return _timed(view, PodStanding(pod, Standing.PENDING, "Resolving"))
    if won.name != view.capture.metadata.name:
        return PodStanding(pod, Standing.SUPERSEDED, won.name, f"captured by {won.name}")
    return _timed(view, _reported(view, pod, won.ref))


def _reported(view: CaptureView, pod: Pod, ref: ProgramRef) -> PodStanding:
    if not pod.node:
        return PodStanding(pod, Standing.PENDING, "Unscheduled", "the pod has no node yet")
    if is_unreachable(view.out_of_reach, pod.node, view.now):
        message = "the node is not ready, or has no ready node agent: last known rules stay"
        return PodStanding(pod, Standing.PENDING, "NodeUnreachable", message)
    if _dispatched(view, pod) != ref:
        return PodStanding(pod, Standing.PENDING, "Dispatching")
    evidence = _evidence(view, pod)
    if evidence is not None and _lags(evidence, ref):
        return PodStanding(pod, Standing.PENDING, evidence.reason, evidence.message)
    if evidence is None or not _answers(evidence, ref):
        return PodStanding(pod, Standing.PENDING, "NotReported", "no evidence from the node yet")
    standing = _STANDINGS[evidence.state]
    return PodStanding(pod, standing, evidence.reason, evidence.message, evidence)


def _dispatched(view: CaptureView, pod: Pod) -> ProgramRef | None:
    report = view.reports.get(pod.node)
    dispatched = report.dispatched.get(pod.uid) if report else None
    return dispatched.program if dispatched else None


def _evidence(view: CaptureView, pod: Pod) -> PodEvidence | None:
    report = view.reports.get(pod.node)
    return report.evidence.get(pod.uid) if report else None


def _answers(evidence: PodEvidence, ref: ProgramRef) -> bool:
    """Whether evidence is about what was dispatched.

    `Programmed` needs the very program. Other states also come from pods that hold nothing of
    anybody's, where an agent has no capture or generation to name.
    """
    if evidence.state is PodState.PROGRAMMED:
        return (evidence.capture_uid, evidence.hash) == (ref.capture_uid, ref.hash)
    if evidence.capture_uid not in {"", ref.capture_uid}:
        return False
    return not evidence.generation or evidence.generation >= ref.generation


def _lags(evidence: PodEvidence, ref: ProgramRef) -> bool:
    """Whether an agent keeps up an earlier program of the same capture, and says why."""
    keeps = evidence.state is PodState.PROGRAMMED and evidence.capture_uid == ref.capture_uid
    return keeps and evidence.hash != ref.hash and bool(evidence.reason)


def _under_way_since(item: PodStanding) -> float | None:
    """From when a pod's first seconds count: a pod that is not let start gets no network."""
    if item.reason == START_REFUSED and item.pod.network_since is None:
        return item.pod.created
    return item.pod.network_since


def _timed(view: CaptureView, item: PodStanding) -> PodStanding:
    """Add what time has to do with it: the pod's first seconds, and a node that may be lost."""
    since = _under_way_since(item)
    settles_in = None if since is None else since + SETTLED_AFTER - view.now
    lost = view.out_of_reach.get(item.pod.node)
    lost_in = None if lost is None else lost + UNREACHABLE_AFTER - view.now
    ahead = [moment for moment in (settles_in, lost_in) if moment is not None and moment > 0]
    return PodStanding(
        pod=item.pod,
        standing=item.standing,
        reason=item.reason,
        message=item.message,
        evidence=item.evidence,
        settled=settles_in is not None and settles_in <= 0,
        recheck_after=min(ahead, default=None),
    )
