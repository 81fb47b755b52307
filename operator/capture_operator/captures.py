"""A TrafficCapture as the operator holds it: what it means, or why it means nothing."""

from collections.abc import Collection
from typing import Any, Final

import msgspec

from capture_api.captures import TrafficCaptureSpec, TrafficCaptureStatus
from capture_api.meta import ObjectMeta
from capture_api.programs import Program, program_hash
from capture_api.resolution import InvalidSpecError, decode_spec, resolve
from capture_api.wire import MalformedObjectError, decode

_EXCLUDED: Final = "NamespaceExcluded"


class Resolution(msgspec.Struct, frozen=True):
    """A valid spec, the program it means, and the program's hash."""

    spec: TrafficCaptureSpec
    program: Program
    hash: str


class Problem(msgspec.Struct, frozen=True):
    """Why a capture means nothing: reason and message of its conditions."""

    reason: str
    message: str


class Capture(msgspec.Struct, frozen=True):
    """One TrafficCapture: what it means, or what is wrong with it."""

    metadata: ObjectMeta
    resolution: Resolution | Problem
    status: TrafficCaptureStatus

    @property
    def deleting(self) -> bool:
        """Whether somebody asked for its deletion: it captures nothing any more."""
        return self.metadata.deletion_timestamp is not None

    @property
    def excluded(self) -> bool:
        """Whether nothing is ever captured in its namespace."""
        return isinstance(self.resolution, Problem) and self.resolution.reason == _EXCLUDED


def read_capture(raw: dict[str, Any], excluded: Collection[str] = ()) -> Capture:
    """Decode and resolve a TrafficCapture as the API server sends it.

    A status that can't be read counts as empty: it is ours, and the next write replaces it.

    Args:
        raw: the object.
        excluded: namespaces in which nothing is captured.

    Raises:
        MalformedObjectError: the metadata are not those of an object.
    """
    metadata = decode(raw["metadata"], ObjectMeta)
    if metadata.namespace in excluded:
        resolution: Resolution | Problem = Problem(_EXCLUDED, _excluded(metadata.namespace))
    else:
        resolution = _resolution(raw.get("spec") or {})
    return Capture(
        metadata=metadata,
        resolution=resolution,
        status=_status(raw.get("status") or {}),
    )


def _excluded(namespace: str) -> str:
    return (
        f"namespace {namespace} is excluded from traffic capture (excludedNamespaces of the "
        "chart): move the pods and the capture to another namespace"
    )


def _resolution(raw: dict[str, Any]) -> Resolution | Problem:
    try:
        spec = decode_spec(raw)
        program = resolve(spec)
    except InvalidSpecError as error:
        return Problem("InvalidSpec", str(error))
    return Resolution(spec, program, program_hash(program))


def _status(raw: dict[str, Any]) -> TrafficCaptureStatus:
    try:
        return decode(raw, TrafficCaptureStatus)
    except MalformedObjectError:
        return TrafficCaptureStatus()
