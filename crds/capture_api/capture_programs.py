"""CaptureProgram: what the operator resolved (`crds/captureprogram.yaml`); spec only."""

from typing import Any

import msgspec

from capture_api.captures import (
    DriftPolicy,
    EstablishedConnections,
    FailurePolicy,
    Mode,
    guards_start,
)
from capture_api.meta import ObjectMeta
from capture_api.programs import Program
from capture_api.selection import LabelSelector
from capture_api.wire import WireStruct


class CaptureProgramHead(WireStruct, frozen=True, kw_only=True, omit_defaults=False):
    """The part of every `schemaVersion`: whose, which pods, and how they start.

    An agent that is too old for the program can still tell whose pod a starting one is.
    """

    capture_uid: str
    capture_generation: int
    capture_created: str | None = None
    """When the capture was created; None from an operator that did not say."""
    selector: LabelSelector
    priority: int
    mode: Mode
    suspend: bool
    failure_policy: FailurePolicy = FailurePolicy.FAIL
    withdrawn: bool = False
    """Whether it captures no further pod: the capture is being deleted, or must not be here."""
    hash: str

    @property
    def guards_start(self) -> bool:
        """Whether a pod that can't be captured is not to start."""
        return guards_start(self.mode, self.failure_policy, suspend=self.suspend)


class CaptureProgramSpec(CaptureProgramHead, frozen=True, kw_only=True, omit_defaults=False):
    """The resolved capture: whose, which pods, how, and the program with its hash."""

    schema_version: int
    drift_policy: DriftPolicy
    established_connections: EstablishedConnections = EstablishedConnections.KEEP
    program: Program


class CaptureProgram(WireStruct, frozen=True):
    """A CaptureProgram whose spec is not decoded yet: its `schemaVersion` decides if it can be."""

    metadata: ObjectMeta
    spec: dict[str, Any] = msgspec.field(default_factory=dict)
