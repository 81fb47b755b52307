"""CaptureProgram: what the operator resolved (`crds/captureprogram.yaml`); spec only."""

from typing import Any

import msgspec

from capture_api.captures import DriftPolicy, Mode
from capture_api.meta import ObjectMeta
from capture_api.programs import Program
from capture_api.selection import LabelSelector
from capture_api.wire import WireStruct


class CaptureProgramSpec(WireStruct, frozen=True, omit_defaults=False):
    """The resolved capture: whose, which pods, how, and the program with its hash."""

    schema_version: int
    capture_uid: str
    capture_generation: int
    selector: LabelSelector
    priority: int
    mode: Mode
    suspend: bool
    drift_policy: DriftPolicy
    program: Program
    hash: str


class CaptureProgram(WireStruct, frozen=True):
    """A CaptureProgram whose spec is not decoded yet: its `schemaVersion` decides if it can be."""

    metadata: ObjectMeta
    spec: dict[str, Any] = msgspec.field(default_factory=dict)
