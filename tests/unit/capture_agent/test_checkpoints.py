"""What outlives the agent comes back as it was, and of two accounts the later one counts."""

import msgspec
import pytest
from msgspec.structs import replace

from capture_agent.checkpoints import Checkpoint, checkpoint_of, later, reported_in
from capture_agent.records import PodRecord
from capture_api.capture_programs import CaptureProgram
from capture_api.meta import ObjectMeta
from capture_api.node_captures import AgentInfo, NodeCaptureStatus, PastDrift
from capture_api.wire import encode
from unit.capture_agent.captures import CAPTURE_UID, SANDBOX, program_spec, record

PROGRAM = CaptureProgram(
    metadata=ObjectMeta(name="web", uid="p", namespace="demo"),
    spec=msgspec.json.decode(msgspec.json.encode(encode(program_spec()))),
)
OTHER = CaptureProgram(metadata=ObjectMeta(name="other", uid="q", namespace="demo"))
PROGRAMS = {("demo", "web"): PROGRAM, ("demo", "other"): OTHER}


def drifted(detected: int) -> PodRecord:
    """Know of a pod in which so much drift was detected."""
    return replace(record(), held_by=CAPTURE_UID, detected=detected)


def test_each_program_that_a_pod_refers_to_is_kept_once() -> None:
    """However many pods have it; what no pod here refers to is left out."""
    records = [replace(record(uid=uid), program=program_spec()) for uid in ("a", "b")]
    kept = checkpoint_of(records, (), PROGRAMS)
    assert kept.programs == (PROGRAM,)
    assert [found.pod.uid for found in kept.records] == ["a", "b"]
    assert not any(found.program for found in kept.records)


def test_a_program_that_is_gone_is_not_kept() -> None:
    """Its pods are, since their rules stay."""
    kept = checkpoint_of([record()], (), {})
    assert kept.programs == ()
    assert len(kept.records) == 1


def test_the_account_that_counted_more_is_the_later_one() -> None:
    """What was kept says more, so it counts when both are of the same age."""
    kept = Checkpoint(records=(drifted(2),))
    older, same, newer = (
        reported_in(NodeCaptureStatus(pods=(drifted(count).evidence(),)), "") for count in (1, 2, 3)
    )
    assert later(kept, older) == kept
    assert later(kept, same) == kept
    assert later(kept, newer) == newer


def test_without_a_file_the_report_is_all_that_is_known() -> None:
    """Also if no drift was counted: who was captured in time is known from it alone."""
    reported = reported_in(NodeCaptureStatus(pods=(drifted(0).evidence(),)), "")
    assert later(Checkpoint(), reported) == reported


def test_what_was_reported_last_is_not_lost_with_an_agent_that_had_not_written_it_yet() -> None:
    """A pod that it did not know, and one that it knew of before it was captured."""
    pods = [replace(drifted(0), pod=record(uid=uid).pod) for uid in ("a", "b", "c")]
    reported = reported_in(NodeCaptureStatus(pods=tuple(each.evidence() for each in pods)), "")
    kept = Checkpoint(records=(replace(pods[0], detected=1), record(uid="b")))
    after = later(kept, reported)
    assert after.records == (kept.records[0], *reported.records[1:])


def test_the_drift_of_a_pod_that_is_gone_is_not_counted_twice() -> None:
    """One account has it with the pod, the other in the past: never both."""
    past = (PastDrift(capture_uid=CAPTURE_UID, detected=2),)
    kept = Checkpoint(past_drift=past)
    reported = reported_in(NodeCaptureStatus(pods=(drifted(2).evidence(),)), "")
    assert later(kept, reported) == Checkpoint(past_drift=past)


@pytest.mark.parametrize(("boot_id", "believed"), [("this", True), ("that", False), ("", False)])
def test_of_sandboxes_only_what_was_reported_in_this_boot_is_believed(
    boot_id: str, *, believed: bool
) -> None:
    """After another one, the new sandbox of the same pod may have the same inode number."""
    in_sandbox = replace(drifted(2), held_hash="h", held_in=SANDBOX.netns)
    status = NodeCaptureStatus(agent=AgentInfo(boot_id=boot_id), pods=(in_sandbox.evidence(),))
    (found,) = reported_in(status, "this").records
    assert (found.held_hash, found.held_in == SANDBOX.netns) == ("h" * believed, believed)
    assert (found.held_by, found.detected) == (CAPTURE_UID, 2)
