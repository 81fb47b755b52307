"""The status of a capture: a function of what nodes report and of the time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from capture_api.captures import PodAttention, PodCounts, TrafficCaptureStatus
from capture_api.conditions import with_transition_times
from capture_api.node_captures import Captured
from capture_operator.drift_totals import drift_totals
from capture_operator.standings import standings
from capture_operator.start_guard import unguarded_nodes
from capture_operator.times import render_time
from capture_operator.verdicts import conditions, missing_ports
from capture_operator.views import CaptureView, PodStanding, Standing

MAX_ATTENTION: Final = 20
MAX_MESSAGE: Final = 256

_WORST_FIRST: Final = {standing: rank for rank, standing in enumerate(Standing)}


@dataclass(frozen=True, slots=True)
class Assessment:
    """A status, and in how many seconds time alone would change it (None: never)."""

    status: TrafficCaptureStatus
    recheck_after: float | None


def assess(view: CaptureView) -> Assessment:
    """Work out a capture's status."""
    pods = standings(view)
    previous = view.capture.status
    metadata = view.capture.metadata
    status = TrafficCaptureStatus(
        observed_generation=metadata.generation,
        conditions=with_transition_times(
            conditions(view, pods), previous.conditions, render_time(view.now)
        ),
        pods=_counts(pods),
        drift=drift_totals(metadata.uid, metadata.namespace, view.reports.values(), previous.drift),
        attention=_attention(pods),
    )
    moments = [item.recheck_after for item in pods if item.recheck_after is not None]
    moments += [node.told_in for node in unguarded_nodes(view, pods) if node.told_in > 0]
    if view.release is not None and view.release.recheck_after is not None:
        moments.append(view.release.recheck_after)
    return Assessment(status, min(moments, default=None))


def differs_in_counters_only(one: TrafficCaptureStatus, other: TrafficCaptureStatus) -> bool:
    """Whether two statuses say the same but for how often drift was seen."""
    return msgspec.structs.replace(one, drift=other.drift) == other


def _counts(pods: Sequence[PodStanding]) -> PodCounts:
    number = Counter(item.standing for item in pods)
    return PodCounts(
        matched=len(pods),
        programmed=number[Standing.PROGRAMMED],
        drifted=number[Standing.DRIFTED],
        failed=number[Standing.FAILED],
        not_applicable=number[Standing.NOT_APPLICABLE],
        pending=number[Standing.PENDING],
        superseded=number[Standing.SUPERSEDED],
        late=sum(map(_is_late, pods)),
    )


def _is_late(item: PodStanding) -> bool:
    captured = item.standing in {Standing.PROGRAMMED, Standing.DRIFTED}
    return captured and item.evidence is not None and item.evidence.captured is Captured.LATE


def _attention(pods: Sequence[PodStanding]) -> tuple[PodAttention, ...]:
    concerned = [item for item in pods if _needs_attention(item)]
    concerned.sort(key=lambda item: (_WORST_FIRST[item.standing], item.pod.name))
    return tuple(_note(item) for item in concerned[:MAX_ATTENTION])


def _needs_attention(item: PodStanding) -> bool:
    if not item.settled:
        return item.standing in {Standing.FAILED, Standing.DRIFTED}
    bad = {Standing.FAILED, Standing.DRIFTED, Standing.PENDING}
    return item.standing in bad or bool(missing_ports(item))


def _note(item: PodStanding) -> PodAttention:
    reason, message = item.reason or str(item.standing), item.message
    if item.standing is Standing.PROGRAMMED:
        ports = ", ".join(map(str, missing_ports(item)))
        reason, message = "ProxyNotListening", f"nobody listens on port {ports}"
    return PodAttention(
        pod=item.pod.name,
        node=item.pod.node,
        state=str(item.standing),
        reason=reason[:MAX_MESSAGE],
        message=message[:MAX_MESSAGE],
    )
