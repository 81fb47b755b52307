"""The status of a node is made of its records."""

from msgspec.structs import replace

from capture_agent.records import PodRecord
from capture_agent.reporting import MAX_PAST, handed_over, holding, retire, status_of
from capture_api.captures import LastDrift
from capture_api.node_captures import AgentInfo, PastDrift
from capture_api.wire import encode
from unit.capture_agent.captures import CAPTURE_UID, OTHER_CAPTURE_UID, dispatched, record

AGENT = AgentInfo(version="1", ready=True)


def test_a_generation_is_observed_when_every_pod_was_examined_under_it() -> None:
    """The one that lags behind decides."""
    records = [
        replace(record(uid="a"), examined_generation=7),
        replace(record(uid="b"), examined_generation=5),
    ]
    assert status_of(records, (), AGENT, 7).observed_generation == 5


def test_a_node_without_pods_has_observed_what_it_was_told() -> None:
    """There is nothing to examine."""
    assert status_of([], (), AGENT, 7).observed_generation == 7


def test_pods_are_reported_in_the_order_of_their_uids() -> None:
    """Equal statuses are equal texts; a pod that nothing captures is left out."""
    records = [record(uid="c"), PodRecord(pod=dispatched(None, "b")), record(uid="a")]
    status = status_of(records, (), AGENT, 1)
    assert [pod.uid for pod in status.pods] == ["a", "c"]
    assert status.pod_count == 2


def test_what_is_held_is_said_of_the_agent() -> None:
    """And changes nothing else; none is said as well."""
    status = status_of([record()], (), AGENT, 1)
    held = holding(status, sandboxes=2, descriptors=12)
    assert held.agent == replace(AGENT, held_sandboxes=2, held_descriptors=12)
    assert holding(held, sandboxes=0, descriptors=0) == status
    told = encode(status)["agent"]
    assert (told["heldSandboxes"], told["heldDescriptors"]) == (0, 0)


def drifted(capture_uid: str = CAPTURE_UID) -> PodRecord:
    """Make the record of a pod with drift."""
    last = LastDrift(time="t", pod="p", kind="Flushed")
    return replace(record(), held_by=capture_uid, detected=3, repaired=2, last_drift=last)


def test_the_counts_of_a_pod_that_is_gone_are_kept_for_its_capture() -> None:
    """They add up, capture by capture."""
    past = retire(retire(retire((), drifted()), drifted(OTHER_CAPTURE_UID)), drifted())
    assert set(past) == {
        PastDrift(capture_uid=CAPTURE_UID, detected=6, repaired=4),
        PastDrift(capture_uid=OTHER_CAPTURE_UID, detected=3, repaired=2),
    }


def test_a_pod_without_drift_leaves_nothing_behind() -> None:
    """Nor does one that no capture had."""
    assert retire((), replace(record(), held_by=CAPTURE_UID)) == ()
    assert retire((), drifted("")) == ()


def test_past_drift_is_bounded() -> None:
    """Captures come and go for as long as a node lives; the longest untouched are forgotten."""
    past: tuple[PastDrift, ...] = ()
    for number in range(MAX_PAST):
        past = retire(past, drifted(str(number)))
    past = retire(retire(past, drifted("0")), drifted("new"))
    assert len(past) == MAX_PAST
    uids = {entry.capture_uid for entry in past}
    assert {"0", "new"} <= uids
    assert "1" not in uids


def test_another_capture_begins_to_count_anew() -> None:
    """What was seen before is not its drift."""
    before = drifted()
    after = handed_over(before, replace(before, held_by=OTHER_CAPTURE_UID))
    assert (after.detected, after.repaired, after.last_drift) == (0, 0, None)


def test_drift_seen_in_the_very_pass_of_the_change_is_kept() -> None:
    """It was counted after the former counts were taken."""
    before = drifted()
    newer = LastDrift(time="t2", pod="p", kind="Flushed")
    after = handed_over(before, replace(before, detected=4, last_drift=newer))
    assert (after.detected, after.last_drift) == (1, newer)
