"""Counting drift: each new difference once, however long it lasts. Pure."""

from dataclasses import dataclass

from msgspec.structs import replace

from capture_agent.families import IP_FAMILIES
from capture_agent.records import Drift, Finding, PodRecord
from capture_api.captures import LastDrift
from capture_api.node_captures import PodState
from capture_nat.drift import Difference
from capture_nat.families import Family

MAX_MESSAGE = 256
"""Characters of a message in the status."""


def with_drift_counted(record: PodRecord, drift: tuple[Drift, ...], now: str) -> PodRecord:
    """Account for drift that was seen; drift already accounted for changes nothing.

    Args:
        record: a pod that held its program when it was last looked at.
        drift: what is different now, most important first in each family; not empty.
        now: the time of the observation, RFC 3339.
    """
    if _without_actors(drift) == _without_actors(record.counted):
        return record
    worst = drift[0].difference
    return replace(
        record,
        detected=record.detected + 1,
        counted=drift,
        last_drift=LastDrift(
            time=now,
            pod=record.pod.name,
            kind=worst.kind,
            ip_family=IP_FAMILIES[drift[0].family],
            expected=worst.expected,
            found=worst.found,
            actor=drift[0].actor,
        ),
    )


def _without_actors(drift: tuple[Drift, ...]) -> list[tuple[Family, Difference]]:
    # Whoever changed something else meanwhile did not make this drift anew.
    return [(each.family, each.difference) for each in drift]


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why differences stay for now; `reason` heads the finding instead of what is different."""

    message: str
    reason: str = ""


CONTENDED = "Contended"
"""Somebody keeps undoing our repairs: a person has to find out who."""


def drifted(drift: tuple[Drift, ...], obstacle: Obstacle) -> Finding:
    """Describe differences that stay for now, headed by the kind of the most important one."""
    worst = drift[0].difference
    more = f" (and {len(drift) - 1} more)" if len(drift) > 1 else ""
    message = f"{describe(worst)}{more}; {obstacle.message}"
    if obstacle.reason:
        message = f"{worst.kind}: {message}"
    return Finding(PodState.DRIFTED, obstacle.reason or worst.kind, message[:MAX_MESSAGE])


def failed(reason: str, message: str) -> Finding:
    """Say why a pod could not be read or written."""
    return Finding(PodState.FAILED, reason, message[:MAX_MESSAGE])


def describe(difference: Difference) -> str:
    """Say in one line what is different."""
    parts = [difference.chain]
    if difference.expected:
        parts.append(f"expected '{difference.expected}'")
    if difference.found:
        parts.append(f"found '{difference.found}'")
    return f"{parts[0]}: {', '.join(parts[1:])}" if parts[1:] else parts[0]
