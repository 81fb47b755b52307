"""The conditions of a capture, from where its pods stand.

`Ready`, `Reconciling` and `Stalled` are always there, as kstatus reads them; the others only while
they are True. A pod counts for them once it is settled, so that ordinary churn moves nothing.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from capture_api.captures import Mode
from capture_api.conditions import Condition
from capture_api.node_captures import START_REFUSED
from capture_operator.captures import Problem, Resolution
from capture_operator.standings import is_resolved
from capture_operator.start_guard import unguarded_nodes
from capture_operator.views import CaptureView, PodStanding, Standing

_REASONED: Final = ("AgentTooOld", "BackendConflict", "ChainConflict", "Contended", START_REFUSED)
"""Reasons of agents that become a condition of that name, since a person has to act on them."""

_MAX_MESSAGE: Final = 1024
_CAPTURABLE: Final = frozenset(Standing) - {Standing.NOT_APPLICABLE}


def conditions(view: CaptureView, pods: Sequence[PodStanding]) -> tuple[Condition, ...]:
    """Judge a capture; times are not set."""
    found = [_ready(view, pods), _reconciling(view, pods), _stalled(view, pods)]
    found += _superseded(pods)
    found += _not_listening(pods)
    found += _reasoned(pods)
    found += _unguarded(view, pods)
    generation = view.capture.metadata.generation
    return tuple(
        Condition(
            type=kind,
            status=status,
            reason=reason,
            message=message[:_MAX_MESSAGE],
            observed_generation=generation,
        )
        for kind, status, reason, message in found
    )


_Found = tuple[str, str, str, str]


def _ready(view: CaptureView, pods: Sequence[PodStanding]) -> _Found:
    blocked = _not_in_force(view)
    if blocked is not None:
        return ("Ready", "False", *blocked)
    if _mode(view) is Mode.OBSERVE:
        return "Ready", "True", "Observing", "rules are compared and nothing is written"
    capturable = [item for item in pods if item.standing in _CAPTURABLE]
    if not capturable:
        return "Ready", "True", "NoMatchingPods", _none_message(pods)
    contested = [item for item in capturable if item.standing is not Standing.SUPERSEDED]
    if not contested:
        return "Ready", "False", "Superseded", "every matching pod is captured by another capture"
    return _ready_by_pods(view, contested)


def _ready_by_pods(view: CaptureView, contested: Sequence[PodStanding]) -> _Found:
    settled = [item for item in contested if item.settled]
    for reason in ("Failed", "Drifted", "NodeUnreachable", "Pending"):
        bad = [item for item in settled if _is(item, reason)]
        if bad:
            message = f"{len(bad)} of {len(contested)} pods: {_example(bad)}"
            return "Ready", "False", reason, message
    if not any(item.standing is Standing.PROGRAMMED for item in contested):
        # Nothing was looked at yet: no evidence for True, and no reason to take a True back.
        status = "True" if _was_ready(view) else "False"
        return "Ready", status, "Pending", f"{len(contested)} pods are in their first seconds"
    return "Ready", "True", "AllProgrammed", "every pod older than 10 s is programmed"


def _is(item: PodStanding, reason: str) -> bool:
    if reason == "NodeUnreachable":
        return item.standing is Standing.PENDING and item.reason == reason
    return item.standing == reason


def _was_ready(view: CaptureView) -> bool:
    return any(
        condition.type == "Ready"
        and condition.status == "True"
        and condition.observed_generation == view.capture.metadata.generation
        for condition in view.capture.status.conditions
    )


def _not_in_force(view: CaptureView) -> tuple[str, str] | None:
    capture = view.capture
    if capture.deleting:
        return "Deleting", "the capture is being deleted"
    if isinstance(capture.resolution, Problem):
        return capture.resolution.reason, capture.resolution.message
    if capture.resolution.spec.suspend:
        return "Suspended", "suspended: what is in the pods is left as it is"
    return None


def _mode(view: CaptureView) -> Mode | None:
    resolution = view.capture.resolution
    return resolution.spec.mode if isinstance(resolution, Resolution) else None


def _none_message(pods: Sequence[PodStanding]) -> str:
    if not pods:
        return "no pod matches podSelector"
    return f"none of the {len(pods)} matching pods can be captured: {_example(pods)}"


def _reconciling(view: CaptureView, pods: Sequence[PodStanding]) -> _Found:
    if view.capture.deleting:
        holding = view.release.holding if view.release else ()
        message = f"waiting for nodes to remove its chains: {_names(holding)}"
        return "Reconciling", "True", "Releasing", message
    if isinstance(view.capture.resolution, Problem):
        return "Reconciling", "False", view.capture.resolution.reason, ""
    if not is_resolved(view):
        return "Reconciling", "True", "Resolving", "the CaptureProgram is being written"
    pending = [item for item in pods if item.settled and item.standing is Standing.PENDING]
    if pending and _mode(view) is Mode.ENFORCE and _not_in_force(view) is None:
        return "Reconciling", "True", "Programming", f"{len(pending)} pods are waited for"
    return "Reconciling", "False", "Settled", ""


def _stalled(view: CaptureView, pods: Sequence[PodStanding]) -> _Found:
    problem = view.capture.resolution
    if isinstance(problem, Problem) and not view.capture.deleting:
        return "Stalled", "True", problem.reason, problem.message
    lost = {item.pod.node for item in pods if item.reason == "NodeUnreachable"}
    if view.release is not None:
        lost.update(view.release.unreachable)
    if lost:
        message = f"not ready, or without a ready node agent: {_names(sorted(lost))}"
        return "Stalled", "True", "NodeUnreachable", message
    return "Stalled", "False", "Progressing", ""


def _superseded(pods: Sequence[PodStanding]) -> Iterator[_Found]:
    winners = Counter(item.reason for item in pods if item.standing is Standing.SUPERSEDED)
    if winners:
        by = ", ".join(f"{name} ({count} pods)" for name, count in sorted(winners.items()))
        yield "Superseded", "True", "OtherCaptureWins", f"captured by {by}"


def _not_listening(pods: Sequence[PodStanding]) -> Iterator[_Found]:
    deaf = [item for item in pods if item.settled and missing_ports(item)]
    if deaf:
        ports = sorted({port for item in deaf for port in missing_ports(item)})
        message = (
            f"nobody listens on redirect port {', '.join(map(str, ports))} in {_pods(deaf)}: "
            "start the proxy there, or correct redirectPort"
        )
        yield "ProxyNotListening", "True", "PortClosed", message


def missing_ports(item: PodStanding) -> tuple[int, ...]:
    """Redirect ports on which nobody listens in a pod that is captured."""
    return item.evidence.ports_not_listening if item.evidence else ()


def _reasoned(pods: Sequence[PodStanding]) -> Iterator[_Found]:
    for reason in _REASONED:
        concerned = [item for item in pods if item.settled and item.reason == reason]
        if concerned:
            yield reason, "True", reason, f"{len(concerned)} pods: {_example(concerned)}"


def _unguarded(view: CaptureView, pods: Sequence[PodStanding]) -> Iterator[_Found]:
    nodes = [node for node in unguarded_nodes(view, pods) if node.told_in <= 0]
    if nodes:
        message = (
            f"{_names([f'{node.name} ({node.why})' for node in nodes])}: pods that start there are "
            "captured late, though failurePolicy is Fail: let the container runtime offer NRI, or "
            "set failurePolicy to Ignore"
        )
        yield "StartUnguarded", "True", "NRINotConnected", message


def _example(pods: Sequence[PodStanding]) -> str:
    first = pods[0]
    why = ": ".join(filter(None, (first.reason or str(first.standing), first.message)))
    return f"{first.pod.name}: {why}"


def _pods(pods: Sequence[PodStanding]) -> str:
    more = f" and {len(pods) - 1} more pods" if len(pods) > 1 else ""
    return f"pod {pods[0].pod.name}{more}"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown  # noqa: PLR2004
