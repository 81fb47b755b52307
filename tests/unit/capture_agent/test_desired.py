"""What a pod is to have, above all when something is missing."""

from typing import Any

import pytest
from msgspec.structs import replace

from capture_agent.desired import (
    Capture,
    NotApplicable,
    Programs,
    Release,
    Wait,
    Writes,
    desired_for,
)
from capture_api.capture_programs import CaptureProgram, CaptureProgramSpec
from capture_api.captures import DriftPolicy, Mode
from capture_api.meta import ObjectMeta
from capture_api.node_captures import ProgramRef
from capture_api.wire import encode
from unit.capture_agent.captures import (
    OTHER_CAPTURE_UID,
    capture,
    dispatched,
    program,
    program_spec,
    ref,
)

OLD = program_spec(capture_generation=1)
NEW = program_spec(program(port="8080"), capture_generation=2)


def stored(spec: CaptureProgramSpec, **changes: object) -> Programs:
    """Keep a CaptureProgram as the informer does, with raw fields changed."""
    raw: dict[str, Any] = {**encode(spec), **changes}
    meta = ObjectMeta(name="web", uid="p", namespace="demo")
    return {("demo", "web"): CaptureProgram(metadata=meta, spec=raw)}


def test_the_dispatched_program_is_what_a_pod_is_to_have() -> None:
    """The ordinary case."""
    assert desired_for(dispatched(ref(OLD)), stored(OLD), None) == Capture(OLD)


def test_a_pod_of_no_capture_is_released() -> None:
    """It was decided so; what the pod had before changes nothing."""
    assert desired_for(dispatched(None), stored(OLD), OLD) == Release()


@pytest.mark.parametrize("to", [ref(OLD), None])
def test_a_pod_on_the_host_network_is_never_captured(to: ProgramRef | None) -> None:
    """Nor released: its rules are the node's."""
    desired = desired_for(dispatched(to, host_network=True), stored(OLD), None)
    assert isinstance(desired, NotApplicable)
    assert desired.reason == "HostNetwork"


@pytest.mark.parametrize("to", [ref(OLD), None])
def test_a_mirror_that_does_not_tell_its_static_pod_is_never_captured(
    to: ProgramRef | None,
) -> None:
    """Nothing on the node can be told to be it."""
    pod = replace(dispatched(to), static_pod_uid="")
    desired = desired_for(pod, stored(OLD), None)
    assert isinstance(desired, NotApplicable)
    assert desired.reason == "StaticPod"


def test_a_static_pod_is_captured_like_any_other() -> None:
    """Where the mirror tells under which UID it runs."""
    pod = replace(dispatched(ref(OLD)), static_pod_uid="0123456789abcdef" * 2)
    assert desired_for(pod, stored(OLD), None) == Capture(OLD)


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ({}, "ProgramUnknown"),
        (
            stored(program_spec(capture_uid=OTHER_CAPTURE_UID, capture_generation=9)),
            "ProgramUnknown",
        ),
        (stored(OLD), "ProgramOutdated"),
        (stored(NEW, schemaVersion=99), "AgentTooOld"),
        (stored(NEW, schemaVersion=None), "AgentTooOld"),
        (stored(NEW, program=7), "ProgramMalformed"),
        (stored(NEW, captureGeneration="many"), "ProgramMalformed"),
        (stored(NEW, mode="Sometimes"), "ProgramMalformed"),
    ],
)
def test_without_a_readable_program_a_pod_keeps_what_it_has(
    programs: Programs, reason: str
) -> None:
    """Unknown, another capture's, outdated, too new, malformed: nothing is taken away."""
    pod = dispatched(ref(NEW))
    waiting = desired_for(pod, programs, None)
    assert isinstance(waiting, Wait)
    assert waiting.reason == reason
    assert desired_for(pod, programs, OLD) == Capture(OLD, behind=waiting)


def test_what_a_pod_had_of_another_capture_is_not_kept_enforced() -> None:
    """Its chains stay, but nobody says any more that they should be there."""
    other = program_spec(capture_uid=OTHER_CAPTURE_UID)
    assert isinstance(desired_for(dispatched(ref(NEW)), {}, other), Wait)


def test_a_newer_generation_than_the_dispatched_one_is_taken() -> None:
    """It is already what the user wants."""
    assert desired_for(dispatched(ref(OLD)), stored(NEW), OLD) == Capture(NEW)


@pytest.mark.parametrize(
    ("changes", "writes"),
    [
        ({}, Writes.REPAIR),
        ({"drift_policy": DriftPolicy.REPORT}, Writes.PROGRAM),
        ({"mode": Mode.OBSERVE}, Writes.NONE),
        ({"mode": Mode.OBSERVE, "drift_policy": DriftPolicy.REPORT}, Writes.NONE),
        ({"suspend": True}, Writes.NONE),
        ({"suspend": True, "drift_policy": DriftPolicy.REPORT}, Writes.NONE),
    ],
)
def test_how_far_an_agent_may_go(changes: dict[str, object], writes: Writes) -> None:
    """Observe and suspend mean that nothing is written."""
    assert capture(None, **changes).writes is writes


@pytest.mark.parametrize(
    ("runtime", "is_sandboxed"), [("kata-qemu", True), ("", False), ("runc", False)]
)
def test_a_pod_with_a_network_stack_of_its_own_is_never_captured(
    runtime: str, *, is_sandboxed: bool
) -> None:
    """Rules could be written into its namespace on the node, and no packet would meet them."""
    pod = replace(dispatched(ref(OLD)), runtime_class=runtime)
    desired = desired_for(pod, stored(OLD), None, ("kata*", "gvisor", ""))
    assert isinstance(desired, NotApplicable) is is_sandboxed
