"""Which program each pod is to have: from captures and pods to what a node is told."""

from collections.abc import Iterable, Mapping, Sequence

from capture_api.contests import Candidate, candidate_of
from capture_api.node_captures import DispatchedPod, NodeCaptureSpec
from capture_api.selection import winner
from capture_operator.captures import Capture
from capture_operator.pods import Pod
from capture_operator.programs import HeldProgram


def candidate(capture: Capture, held: HeldProgram | None) -> Candidate | None:
    """Enter a capture in the contest for pods.

    None for one that is being deleted, is in an excluded namespace, or has no program yet. The
    program, not the capture's own spec, is what counts: a pod is sent to a program only when that
    is there to be read, and a capture whose spec became invalid keeps its last valid one.
    """
    if capture.deleting or capture.excluded or held is None or held.spec is None:
        return None
    spec = held.spec
    if spec.capture_uid != capture.metadata.uid:
        return None  # left behind by an earlier capture of this name
    return candidate_of(capture.metadata.name, capture.metadata.creation_timestamp, spec)


def dispatch(pods: Iterable[Pod], contests: Mapping[str, Sequence[Candidate]]) -> NodeCaptureSpec:
    """Decide what one node is told of its pods.

    Args:
        pods: the pods of the node. Finished ones are left out, their sandbox goes away.
        contests: the candidates of each namespace that has captures. A namespace without any
            candidate is listed all the same, so that its pods are told that nothing captures
            them; pods of namespaces that are not listed are left out.
    """
    dispatched = (
        _dispatched(pod, contests[pod.namespace])
        for pod in pods
        if not pod.finished and pod.namespace in contests
    )
    return NodeCaptureSpec(pods=tuple(sorted(dispatched, key=lambda pod: pod.uid)))


def _dispatched(pod: Pod, candidates: Sequence[Candidate]) -> DispatchedPod:
    won = winner(candidates, pod.labels)
    return DispatchedPod(
        uid=pod.uid,
        namespace=pod.namespace,
        name=pod.name,
        pod_ips=pod.ips,
        host_network=pod.host_network,
        runtime_class=pod.runtime_class,
        static_pod_uid=pod.static_pod_uid,
        program=won.ref if won else None,
    )
