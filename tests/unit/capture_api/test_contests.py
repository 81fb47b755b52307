"""Who is in the contest for a starting pod, as an agent sees it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given

from capture_api.capture_programs import CaptureProgram, CaptureProgramSpec
from capture_api.captures import DriftPolicy, FailurePolicy, Mode, TrafficCaptureSpec
from capture_api.contests import contests
from capture_api.meta import ObjectMeta
from capture_api.programs import Program
from capture_api.selection import LabelSelector, winner
from capture_api.wire import encode
from unit.capture_api.values import capture_program_specs

WRITTEN = "2026-02-02T00:00:00Z"


def stored(
    spec: CaptureProgramSpec, *, name: str = "web", namespace: str = "demo", **fields: object
) -> CaptureProgram:
    """Store a program, with these fields of its spec as they are on the wire."""
    raw: dict[str, Any] = encode(spec)
    metadata = ObjectMeta(name=name, uid="p", namespace=namespace, creation_timestamp=WRITTEN)
    return CaptureProgram(metadata=metadata, spec=raw | fields)


def resolved() -> CaptureProgramSpec:
    """Make a resolved capture of every pod."""
    return CaptureProgramSpec(
        schema_version=1,
        capture_uid="u",
        capture_generation=1,
        selector=LabelSelector(),
        priority=0,
        mode=Mode.ENFORCE,
        suspend=False,
        drift_policy=DriftPolicy.REPAIR,
        program=Program(chain_prefix="CAPTURE"),
        hash="0" * 16,
    )


@given(capture_program_specs())
def test_a_capture_enters_with_what_its_program_says(spec: CaptureProgramSpec) -> None:
    """So that it is dispatched to by the same reference."""
    if spec.withdrawn:
        return
    [candidate] = contests([stored(spec)])["demo"]
    assert (candidate.name, candidate.ref.name) == ("web", "web")
    assert (candidate.selector, candidate.priority) == (spec.selector, spec.priority)
    ref = candidate.ref
    assert (ref.capture_uid, ref.generation) == (spec.capture_uid, spec.capture_generation)
    assert (ref.hash, candidate.guards_start) == (spec.hash, spec.guards_start)


@given(capture_program_specs())
def test_a_withdrawn_program_captures_no_starting_pod(spec: CaptureProgramSpec) -> None:
    """Its capture is on its way out, or must not be there."""
    assert contests([stored(spec, withdrawn=True)]) == {}


@given(capture_program_specs())
def test_each_namespace_has_a_contest_of_its_own(spec: CaptureProgramSpec) -> None:
    """A namespace without programs costs a look-up."""
    spec = msgspec.structs.replace(spec, withdrawn=False)
    found = contests([stored(spec, namespace="one"), stored(spec, namespace="two", name="other")])
    assert {name: [entry.name for entry in entries] for name, entries in found.items()} == {
        "one": ["web"],
        "two": ["other"],
    }


@given(capture_program_specs())
def test_a_program_that_the_agent_is_too_old_for_still_has_its_pods(
    spec: CaptureProgramSpec,
) -> None:
    """Its place is not taken by the next capture: it is the agent that lacks something."""
    spec = msgspec.structs.replace(spec, withdrawn=False)
    later = stored(spec, schemaVersion=99, program={"unheard": "of"}, driftPolicy="Ask")
    assert [entry.name for entry in contests([later])["demo"]] == ["web"]


@pytest.mark.parametrize("missing", ["selector", "captureUID", "priority", "hash"])
def test_a_program_that_does_not_say_what_it_captures_is_left_out(missing: str) -> None:
    """One that can't be read spoils no other."""
    spec = resolved()
    broken = stored(spec, name="broken")
    del broken.spec[missing]
    assert [entry.name for entry in contests([broken, stored(spec)])["demo"]] == ["web"]


def test_the_age_that_counts_is_the_captures() -> None:
    """A program may have been written long after; before it was said, its own age has to do."""
    spec = resolved()
    old = stored(spec, name="old", captureCreated="2026-01-01T00:00:00Z")
    silent = stored(spec, name="a", captureCreated=None)
    candidates = contests([silent, old])["demo"]
    assert [entry.created for entry in candidates] == [WRITTEN, "2026-01-01T00:00:00Z"]
    won = winner(candidates, {})
    assert won is not None
    assert won.name == "old"


@pytest.mark.parametrize(
    ("policy", "mode", "suspend", "guards"),
    [
        (FailurePolicy.FAIL, Mode.ENFORCE, False, True),
        (FailurePolicy.IGNORE, Mode.ENFORCE, False, False),
        (FailurePolicy.FAIL, Mode.OBSERVE, False, False),
        (FailurePolicy.FAIL, Mode.ENFORCE, True, False),
    ],
)
def test_a_capture_that_writes_nothing_keeps_no_pod_from_starting(
    policy: FailurePolicy, mode: Mode, *, suspend: bool, guards: bool
) -> None:
    """Observe means observe."""
    spec = msgspec.structs.replace(resolved(), failure_policy=policy, mode=mode, suspend=suspend)
    assert spec.guards_start is guards
    capture = TrafficCaptureSpec(
        pod_selector=LabelSelector(), failure_policy=policy, mode=mode, suspend=suspend
    )
    assert capture.guards_start is guards
