"""From the records of the pods to `NodeCapture.status`. Pure."""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from capture_agent.records import PodRecord
from capture_api.node_captures import AgentInfo, NodeCaptureStatus, PastDrift

MAX_PAST: Final = 256
"""Captures whose past drift a node remembers; the longest untouched are forgotten first."""


def status_of(
    records: Iterable[PodRecord],
    past_drift: Iterable[PastDrift],
    agent: AgentInfo,
    generation: int,
) -> NodeCaptureStatus:
    """State the evidence of a node.

    Args:
        records: every dispatched pod.
        past_drift: the drift of pods that are gone.
        agent: this agent.
        generation: the dispatched generation; it counts as observed once every pod was examined
            under it.
    """
    records = sorted(records, key=lambda record: record.pod.uid)
    return NodeCaptureStatus(
        observed_generation=min(
            (record.examined_generation for record in records if not record.is_provisional),
            default=generation,
        ),
        agent=agent,
        pods=tuple(record.evidence() for record in records if record.is_reported),
        past_drift=tuple(past_drift),
    )


def holding(status: NodeCaptureStatus, sandboxes: int, descriptors: int) -> NodeCaptureStatus:
    """Add how much the agent holds: in how many sandboxes, by how many descriptors."""
    agent = replace(status.agent, held_sandboxes=sandboxes, held_descriptors=descriptors)
    return replace(status, agent=agent)


def retire(past: tuple[PastDrift, ...], record: PodRecord) -> tuple[PastDrift, ...]:
    """Keep the counts of a pod that its capture has no more, so that the capture's never fall."""
    if not (record.held_by and (record.detected or record.repaired)):
        return past
    by_capture = {entry.capture_uid: entry for entry in past}
    before = by_capture.pop(record.held_by, PastDrift(capture_uid=record.held_by))
    by_capture[record.held_by] = PastDrift(
        capture_uid=record.held_by,
        detected=before.detected + record.detected,
        repaired=before.repaired + record.repaired,
    )
    return tuple(by_capture.values())[-MAX_PAST:]


def handed_over(before: PodRecord, after: PodRecord) -> PodRecord:
    """Let the counts begin anew in a pod that another capture has now, or none.

    Args:
        before: the pod under its former capture, whose counts are to be retired.
        after: the same pod after a pass.
    """
    return replace(
        after,
        detected=after.detected - before.detected,
        repaired=after.repaired - before.repaired,
        last_drift=after.last_drift if after.detected > before.detected else None,
    )
