"""When evidence is written: transitions at once, counters now and then, the same never."""

from typing import Final

import msgspec

from capture_api.node_captures import NodeCaptureStatus, PodEvidence

COALESCING: Final = 0.05
"""Seconds from a transition to its write, so that pods which change together are written once."""
COUNTERS_INTERVAL: Final = 10.0
"""Least seconds between two writes of which the second brings new counters only."""
COUNTERS_SPREAD: Final = 0.2
"""Largest part of the interval that jitter adds to it."""


def write_delay(
    previous: NodeCaptureStatus,
    current: NodeCaptureStatus,
    last_write: float | None,
    now: float,
    jitter: float,
) -> float | None:
    """Seconds after which `current` is to replace `previous` at the API server; None: never.

    `last_write` and `now` are seconds of one clock; `jitter` is in [0, 1), and the same as long as
    the same write is waited for.
    """
    if previous == current:
        return None
    if last_write is None or without_counters(previous) != without_counters(current):
        return COALESCING
    interval = COUNTERS_INTERVAL * (1 + COUNTERS_SPREAD * jitter)
    return max(COALESCING, last_write + interval - now)


def without_counters(status: NodeCaptureStatus) -> NodeCaptureStatus:
    """The part of the evidence of which every change is a transition."""
    return msgspec.structs.replace(
        status,
        agent=msgspec.structs.replace(status.agent, held_sandboxes=0, held_descriptors=0),
        pods=tuple(_without_counters(pod) for pod in status.pods),
        past_drift=(),
    )


def _without_counters(pod: PodEvidence) -> PodEvidence:
    return msgspec.structs.replace(pod, drift_detected=0, drift_repaired=0, last_drift=None)
