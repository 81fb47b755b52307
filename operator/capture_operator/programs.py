"""CapturePrograms: what the operator tells agents that a capture means."""

from typing import Any

import msgspec

from capture_api.capture_programs import CaptureProgramSpec
from capture_api.meta import ObjectMeta
from capture_api.programs import schema_version
from capture_api.wire import MalformedObjectError, decode
from capture_operator.captures import Capture, Resolution
from capture_operator.resources import CAPTURES


class HeldProgram(msgspec.Struct, frozen=True):
    """A CaptureProgram in the cluster; `spec` is None when it is not one that we could write."""

    metadata: ObjectMeta
    spec: CaptureProgramSpec | None


def read_program(raw: dict[str, Any]) -> HeldProgram:
    """Decode a CaptureProgram as the API server sends it.

    Raises:
        MalformedObjectError: the metadata are not those of an object.
    """
    metadata = decode(raw["metadata"], ObjectMeta)
    try:
        return HeldProgram(metadata, decode(raw.get("spec"), CaptureProgramSpec))
    except MalformedObjectError:
        return HeldProgram(metadata, None)


def program_spec(capture: Capture, resolution: Resolution) -> CaptureProgramSpec:
    """Say what agents are to know of a valid capture.

    The failure policy is not part of the program: changing it rewrites no rule.
    """
    spec = resolution.spec
    return CaptureProgramSpec(
        schema_version=schema_version(resolution.program),
        capture_uid=capture.metadata.uid,
        capture_generation=capture.metadata.generation,
        capture_created=capture.metadata.creation_timestamp or None,
        selector=spec.pod_selector,
        priority=spec.priority,
        mode=spec.mode,
        suspend=spec.suspend,
        drift_policy=spec.drift_policy,
        failure_policy=spec.failure_policy,
        established_connections=spec.established_connections,
        program=resolution.program,
        hash=resolution.hash,
    )


def owned_by_capture(capture: Capture) -> list[dict[str, Any]]:
    """Make the ownerReferences with which a program goes when its capture does."""
    return [
        {
            "apiVersion": CAPTURES.api_version,
            "kind": CAPTURES.kind,
            "name": capture.metadata.name,
            "uid": capture.metadata.uid,
            "controller": True,
        }
    ]
