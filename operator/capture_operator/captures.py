"""A TrafficCapture as the operator holds it: what it means, or why it means nothing."""

from typing import Any

import msgspec

from capture_api.captures import TrafficCaptureSpec, TrafficCaptureStatus
from capture_api.meta import ObjectMeta
from capture_api.programs import Program, program_hash
from capture_api.resolution import InvalidSpecError, decode_spec, resolve
from capture_api.wire import MalformedObjectError, decode


class Resolution(msgspec.Struct, frozen=True):
    """A valid spec, the program it means, and the program's hash."""

    spec: TrafficCaptureSpec
    program: Program
    hash: str


class Capture(msgspec.Struct, frozen=True):
    """One TrafficCapture; `resolution` is None when its spec is invalid, and `problem` says why."""

    metadata: ObjectMeta
    resolution: Resolution | None
    problem: str
    status: TrafficCaptureStatus

    @property
    def deleting(self) -> bool:
        """Whether somebody asked for its deletion: it captures nothing any more."""
        return self.metadata.deletion_timestamp is not None


def read_capture(raw: dict[str, Any]) -> Capture:
    """Decode and resolve a TrafficCapture as the API server sends it.

    A status that can't be read counts as empty: it is ours, and the next write replaces it.

    Raises:
        MalformedObjectError: the metadata are not those of an object.
    """
    resolution, problem = _resolution(raw.get("spec") or {})
    return Capture(
        metadata=decode(raw["metadata"], ObjectMeta),
        resolution=resolution,
        problem=problem,
        status=_status(raw.get("status") or {}),
    )


def _resolution(raw: dict[str, Any]) -> tuple[Resolution | None, str]:
    try:
        spec = decode_spec(raw)
        program = resolve(spec)
    except InvalidSpecError as error:
        return None, str(error)
    return Resolution(spec, program, program_hash(program)), ""


def _status(raw: dict[str, Any]) -> TrafficCaptureStatus:
    try:
        return decode(raw, TrafficCaptureStatus)
    except MalformedObjectError:
        return TrafficCaptureStatus()
