"""How often a capture's pods drifted, over every node and every pod that ever was."""

from collections.abc import Iterable, Iterator

from capture_api.captures import DriftCounts, LastDrift
from capture_api.node_captures import PodEvidence
from capture_operator.reports import NodeReport


def drift_totals(
    uid: str, namespace: str, reports: Iterable[NodeReport], previous: DriftCounts
) -> DriftCounts:
    """Add up the drift of the capture with this UID.

    The counts never fall below `previous`, even when a node goes and takes its counts with it.
    """
    detected = repaired = 0
    newest = previous.last
    for report in reports:
        for pod in _own_pods(report, uid, namespace):
            detected += pod.drift_detected
            repaired += pod.drift_repaired
            newest = _newer(newest, pod.last_drift)
        for past in report.status.past_drift:
            if past.capture_uid == uid:
                detected += past.detected
                repaired += past.repaired
    return DriftCounts(
        detected=max(detected, previous.detected),
        repaired=max(repaired, previous.repaired),
        last=newest,
    )


def _own_pods(report: NodeReport, uid: str, namespace: str) -> Iterator[PodEvidence]:
    for pod in report.status.pods:
        if pod.capture_uid == uid and pod.namespace == namespace and pod.uid in report.dispatched:
            yield pod


def _newer(one: LastDrift | None, other: LastDrift | None) -> LastDrift | None:
    if one is None or other is None:
        return one or other
    # RFC 3339 in UTC with one precision sorts as text; on a tie the one already told stays.
    return other if other.time > one.time else one
