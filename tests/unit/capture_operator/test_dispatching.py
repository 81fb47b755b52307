"""Which program each pod is sent to."""

from collections.abc import Iterable
from random import Random
from typing import TypeVar

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from capture_api.contests import Candidate
from capture_operator.captures import Problem
from capture_operator.dispatching import candidate, dispatch
from capture_operator.pods import Pod
from capture_operator.programs import HeldProgram
from unit.capture_operator.values import capture, entry, pod, view

T = TypeVar("T")

labels = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2)
pods = st.lists(
    st.builds(
        pod,
        st.text("abcdef", min_size=1, max_size=3),
        namespace=st.sampled_from(["one", "two", "three"]),
        labels=labels,
        finished=st.booleans(),
    ),
    max_size=8,
    unique_by=lambda item: item.uid,
)
candidates = st.lists(
    st.builds(
        entry,
        st.sampled_from(["c1", "c2", "c3", "c4"]),
        labels=labels,
        priority=st.integers(0, 2),
    ),
    max_size=4,
    unique_by=lambda item: item.name,
)
contests = st.dictionaries(st.sampled_from(["one", "two"]), candidates, max_size=2)


@given(pods, contests, st.randoms())
def test_the_order_of_pods_and_captures_does_not_matter(
    pods: list[Pod],
    contests: dict[str, list[Candidate]],
    random: Random,
) -> None:
    """Equal state is equal dispatch, so nothing is written without need."""
    expected = dispatch(pods, contests)
    shuffled = {name: _shuffled(entries, random) for name, entries in contests.items()}
    assert dispatch(_shuffled(pods, random), shuffled) == expected


@given(pods, contests)
def test_every_live_pod_of_a_namespace_with_captures_is_listed_once(
    pods: list[Pod], contests: dict[str, list[Candidate]]
) -> None:
    """And no other, ordered by UID."""
    expected = sorted(pod.uid for pod in pods if pod.namespace in contests and not pod.finished)
    assert [pod.uid for pod in dispatch(pods, contests).pods] == expected


@given(pods, contests)
def test_a_pod_goes_to_the_one_capture_that_wins_it(
    pods: list[Pod], contests: dict[str, list[Candidate]]
) -> None:
    """No capture of higher precedence selects it, and none selects a pod that is sent nowhere."""
    by_uid = {pod.uid: pod for pod in pods}
    for item in dispatch(pods, contests).pods:
        selecting = [
            entry
            for entry in contests[item.namespace]
            if entry.selector.matches(by_uid[item.uid].labels)
        ]
        best = min(selecting, key=lambda entry: (-entry.priority, entry.name), default=None)
        assert item.program == (best.ref if best else None)


def test_a_namespace_without_candidates_is_told_so() -> None:
    """Its pods are dispatched as not captured; pods elsewhere are not dispatched."""
    found = dispatch([pod("a"), pod("b", namespace="other")], {"demo": []})
    assert [(item.name, item.program) for item in found.pods] == [("a", None)]


def test_a_capture_that_is_being_deleted_is_no_candidate() -> None:
    """Its pods go to the next one."""
    assert candidate(capture(deleting=True), view().program) is None


def test_a_capture_without_a_program_is_no_candidate() -> None:
    """A pod is sent only to what agents can read."""
    assert candidate(capture(), None) is None


def test_an_invalid_capture_keeps_its_last_valid_program_in_force() -> None:
    """The candidate is what the program says, not the spec."""
    broken = capture(inbound=None)
    assert isinstance(broken.resolution, Problem)
    entered = candidate(broken, view().program)
    assert entered is not None
    assert entered.ref.capture_uid == "uid-web"


def test_the_program_of_an_earlier_capture_of_that_name_does_not_count() -> None:
    """It is another capture's, until it is written anew."""
    held = view().program
    assert held is not None
    assert held.spec is not None
    spec = msgspec.structs.replace(held.spec, capture_uid="uid-of-another")
    assert candidate(capture(), HeldProgram(held.metadata, spec)) is None


def _shuffled(items: Iterable[T], random: Random) -> list[T]:
    ordered = list(items)
    random.shuffle(ordered)
    return ordered


def test_a_static_pod_is_dispatched_with_the_uid_that_it_runs_under() -> None:
    """Or with the word that its mirror does not tell."""
    for uid in ("0123456789abcdef" * 2, "", None):
        mirror = msgspec.structs.replace(pod("a"), static_pod_uid=uid)
        (sent,) = dispatch([mirror], {"demo": []}).pods
        assert sent.static_pod_uid == uid
