"""When a status is worth a write."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_agent.status_writes import COALESCING, COUNTERS_INTERVAL, without_counters, write_delay
from capture_api.captures import LastDrift
from capture_api.node_captures import (
    AgentInfo,
    NetnsIdentity,
    NodeCaptureStatus,
    PastDrift,
    PodEvidence,
    PodState,
)

POD = PodEvidence(uid="u1", namespace="demo", name="web", state=PodState.PROGRAMMED, hash="h")
OTHER = PodEvidence(uid="u2", namespace="demo", name="db", state=PodState.PENDING)
DRIFT = LastDrift(time="2026-01-01T00:00:00Z", pod="web", kind="Flushed")
STATUS = NodeCaptureStatus(observed_generation=1, pods=(POD, OTHER))


def with_pod(**changes: object) -> NodeCaptureStatus:
    """The status with its first pod changed."""
    pod = msgspec.structs.replace(POD, **changes)
    return msgspec.structs.replace(STATUS, pods=(pod, OTHER))


TRANSITIONS = {
    "a pod's state": with_pod(state=PodState.FAILED),
    "a pod's state with its counters": with_pod(state=PodState.DRIFTED, drift_detected=1),
    "a pod's reason": with_pod(reason="Later"),
    "a pod's hash": with_pod(hash="other"),
    "a pod's namespace": with_pod(netns=NetnsIdentity(device=4, inode=5)),
    "a listener": with_pod(ports_not_listening=(15001,)),
    "a pod more": msgspec.structs.replace(STATUS, pods=(POD, OTHER, OTHER)),
    "a pod less": msgspec.structs.replace(STATUS, pods=(POD,)),
    "the generation": msgspec.structs.replace(STATUS, observed_generation=2),
    "the agent": msgspec.structs.replace(STATUS, agent=AgentInfo(ready=True)),
}
COUNTERS = {
    "drift detected": with_pod(drift_detected=1),
    "drift repaired": with_pod(drift_repaired=1),
    "the last drift": with_pod(drift_detected=2, last_drift=DRIFT),
    "what is held": msgspec.structs.replace(
        STATUS, agent=AgentInfo(held_sandboxes=1, held_descriptors=6)
    ),
    "past drift": msgspec.structs.replace(STATUS, past_drift=(PastDrift(capture_uid="c"),)),
}


@pytest.mark.parametrize("current", TRANSITIONS.values(), ids=TRANSITIONS)
def test_a_transition_is_written_at_once(current: NodeCaptureStatus) -> None:
    """However recent the last write was."""
    assert write_delay(STATUS, current, last_write=9.9, now=10.0, jitter=0.5) == COALESCING


@pytest.mark.parametrize("current", COUNTERS.values(), ids=COUNTERS)
@pytest.mark.parametrize(
    ("last_write", "now", "jitter", "delay"),
    [
        (None, 100.0, 0.0, COALESCING),
        (100.0, 100.0, 0.0, 10.0),
        (100.0, 100.0, 0.5, 11.0),
        (100.0, 107.0, 0.5, 4.0),
        (100.0, 111.0, 0.5, COALESCING),
        (100.0, 500.0, 0.5, COALESCING),
    ],
)
def test_counters_wait_their_interval(
    current: NodeCaptureStatus, last_write: float | None, now: float, jitter: float, delay: float
) -> None:
    """Ten seconds and the jitter after the last write, or at once if that is long ago."""
    assert write_delay(STATUS, current, last_write, now, jitter) == delay


@given(
    st.sampled_from([STATUS, *TRANSITIONS.values(), *COUNTERS.values()]),
    st.none() | st.floats(min_value=0, max_value=1e6),
    st.floats(min_value=0, max_value=1e6),
    st.floats(min_value=0, max_value=1, exclude_max=True),
)
def test_the_same_status_is_never_written(
    status: NodeCaptureStatus, last_write: float | None, now: float, jitter: float
) -> None:
    """Not after any time."""
    assert write_delay(status, status, last_write, now, jitter) is None


@given(
    st.sampled_from([*COUNTERS.values()]),
    st.floats(min_value=0, max_value=1e6),
    st.floats(min_value=0, max_value=1e3),
    st.floats(min_value=0, max_value=1, exclude_max=True),
)
def test_no_two_writes_of_counters_are_closer_than_the_interval(
    current: NodeCaptureStatus, last_write: float, since: float, jitter: float
) -> None:
    """Whenever it is asked."""
    now = last_write + since
    delay = write_delay(STATUS, current, last_write, now, jitter)
    assert delay is not None
    assert now + delay >= last_write + COUNTERS_INTERVAL - 1e-6


def test_states_outlive_the_removal_of_counters() -> None:
    """What is left of a status without counters is all but the counters."""
    assert without_counters(with_pod(drift_detected=3, last_drift=DRIFT)) == STATUS
