"""Evidence is the agent's memory across its own restart."""

from hypothesis import given
from hypothesis import strategies as st

from capture_agent.records import Finding, PodRecord, record_of
from capture_api.captures import LastDrift
from capture_api.node_captures import NetnsIdentity, PodEvidence, PodState
from unit.capture_agent.captures import (
    CAPTURE_UID,
    OTHER_CAPTURE_UID,
    SANDBOX,
    dispatched,
    program_spec,
    ref,
)

counts = st.integers(min_value=0, max_value=2**40)
netns = st.builds(NetnsIdentity, device=counts, inode=counts)
evidence = st.builds(
    PodEvidence,
    uid=st.text(),
    namespace=st.text(),
    name=st.text(),
    state=st.sampled_from(PodState),
    reason=st.text(),
    message=st.text(),
    capture_uid=st.text(),
    hash=st.text(),
    netns=st.none() | netns,
    backend=st.text(),
    ports_not_listening=st.lists(st.integers(1, 65535), max_size=3).map(tuple),
    drift_detected=counts,
    drift_repaired=counts,
    last_drift=st.none() | st.builds(LastDrift, time=st.text(), pod=st.text(), kind=st.text()),
)


@given(evidence)
def test_evidence_survives_a_restart(reported: PodEvidence) -> None:
    """What was reported is what is known; only the program's generation has to be seen again."""
    assert record_of(reported).evidence() == reported


def test_a_pod_that_held_its_program_holds_it_after_a_restart() -> None:
    """A difference is drift then, not a program that is still to be brought in."""
    spec = program_spec()
    before = PodRecord(
        pod=dispatched(ref()), held_by=CAPTURE_UID, held_hash=spec.hash, held_in=SANDBOX.netns
    )
    assert record_of(before.evidence()).holds(spec, SANDBOX)


def test_a_program_counts_as_held_only_where_it_was_read_back() -> None:
    """Neither another program nor another network namespace."""
    spec = program_spec()
    elsewhere = NetnsIdentity(device=4, inode=1)
    assert not PodRecord(pod=dispatched(ref()), held_hash="x", held_in=SANDBOX.netns).holds(
        spec, SANDBOX
    )
    assert not PodRecord(pod=dispatched(ref()), held_hash=spec.hash, held_in=elsewhere).holds(
        spec, SANDBOX
    )


def test_the_generation_is_that_of_the_capture_whose_chains_are_there() -> None:
    """A program that is yet to be brought in says nothing about what another capture left."""
    spec = program_spec(capture_generation=7)
    held = PodRecord(pod=dispatched(ref()), program=spec, held_by=CAPTURE_UID)
    other = PodRecord(pod=dispatched(ref()), program=spec, held_by=OTHER_CAPTURE_UID)
    assert (held.evidence().generation, other.evidence().generation) == (7, 0)


def test_a_pod_that_nothing_captures_is_silent_once_it_is_free() -> None:
    """Until then it is reported: the capture's deletion waits for it."""
    free = PodRecord(pod=dispatched(None), finding=Finding(PodState.PROGRAMMED))
    held = PodRecord(pod=dispatched(None), finding=Finding(PodState.FAILED), held_by=CAPTURE_UID)
    assert not free.is_reported
    assert free.is_released
    assert held.is_reported
    assert not held.is_released
