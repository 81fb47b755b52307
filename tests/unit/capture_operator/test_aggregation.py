"""The status of a capture."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_api.captures import DriftCounts, LastDrift, Mode, TrafficCaptureStatus
from capture_api.node_captures import Captured, PastDrift, PodEvidence, PodState
from capture_operator.aggregation import MAX_ATTENTION, MAX_MESSAGE, assess
from capture_operator.captures import Resolution
from capture_operator.drift_totals import drift_totals
from capture_operator.pods import Pod
from capture_operator.reports import NodeReport, node_report
from capture_operator.times import render_time
from capture_operator.views import CaptureView
from unit.capture_operator.objects import EPOCH
from unit.capture_operator.values import (
    capture,
    dispatched,
    entry,
    evidence,
    pod,
    ref,
    report,
    view,
)

WEB = ref()


def with_evidence(*found: PodEvidence) -> NodeReport:
    """Report pods that were all dispatched to the capture."""
    return report(pods=tuple(dispatched(item.uid, WEB) for item in found), found=found)


def ready(of: CaptureView) -> tuple[str, str]:
    """Read status and reason of Ready."""
    return condition(of, "Ready") or ("", "")


def condition(of: CaptureView, kind: str) -> tuple[str, str] | None:
    """Read status and reason of a condition, if it is there."""
    return next(
        ((item.status, item.reason) for item in assess(of).status.conditions if item.type == kind),
        None,
    )


names = st.sampled_from([f"pod{number}" for number in range(6)])
some_pods = st.lists(
    st.builds(
        pod,
        names,
        node=st.sampled_from(["node1", "node2", ""]),
        labels=st.sampled_from([{}, {"app": "x"}]),
        finished=st.booleans(),
        network_since=st.sampled_from([None, EPOCH - 3600, EPOCH - 3]),
    ),
    max_size=6,
    unique_by=lambda item: item.uid,
)
some_evidence = st.lists(
    st.builds(
        evidence,
        names,
        st.sampled_from(PodState),
        about=st.sampled_from([WEB, ref("other"), ref(program="h0"), ref(generation=0)]),
        not_listening=st.sampled_from([(), (15001,)]),
        captured=st.sampled_from([None, *Captured]),
    ),
    unique_by=lambda item: item.uid,
)
some_dispatch = st.lists(
    st.builds(dispatched, names, st.sampled_from([None, WEB, ref("other")])),
    unique_by=lambda item: item.uid,
)
some_reports = st.builds(
    lambda pods, found: report(pods=tuple(pods), found=tuple(found)), some_dispatch, some_evidence
)
some_views = st.builds(
    lambda of, pods, candidates, one, away: view(
        of=of, pods=tuple(pods), candidates=candidates, reports=(one,), out_of_reach=away
    ),
    st.sampled_from(
        [
            capture(),
            capture(mode="Observe"),
            capture(suspend=True),
            capture(inbound=None),
            capture(deleting=True),
        ]
    ),
    some_pods,
    st.sampled_from([(), (entry(),), (entry(), entry("other", labels={"app": "x"}, priority=1))]),
    some_reports,
    st.sampled_from([{}, {"node1": EPOCH - 100}, {"node1": EPOCH - 30}]),
)


@given(some_views)
def test_each_matched_pod_is_counted_exactly_once(of: CaptureView) -> None:
    """`matched` is the sum of the others, of which some were late."""
    pods = assess(of).status.pods
    parts = msgspec.structs.asdict(pods)
    assert parts.pop("late") <= pods.programmed + pods.drifted
    assert parts.pop("matched") == sum(parts.values())


@given(some_views)
def test_programmed_is_said_only_of_what_was_dispatched_and_read_back(of: CaptureView) -> None:
    """Invariant 7: status is evidence."""
    proven = {
        found.name
        for reported in of.reports.values()
        for found in reported.status.pods
        if found.state is PodState.PROGRAMMED
        and (found.capture_uid, found.hash) == (WEB.capture_uid, WEB.hash)
        and (sent := reported.dispatched.get(found.uid)) is not None
        and sent.program == WEB
    }
    assert assess(of).status.pods.programmed <= len(proven)


@given(some_views)
def test_the_three_conditions_of_kstatus_are_always_there(of: CaptureView) -> None:
    """The others only while they are True."""
    first, second, third, *others = assess(of).status.conditions
    assert (first.type, second.type, third.type) == ("Ready", "Reconciling", "Stalled")
    assert {item.status for item in others} <= {"True"}


@given(some_views)
def test_ready_excludes_stalled(of: CaptureView) -> None:
    """A capture in Enforce mode is not both."""
    resolution = of.capture.resolution
    if isinstance(resolution, Resolution) and resolution.spec.mode is Mode.OBSERVE:
        return
    statuses = {item.type: item.status for item in assess(of).status.conditions}
    assert not statuses["Ready"] == statuses["Stalled"] == "True"


@given(some_views)
def test_a_status_is_stable(of: CaptureView) -> None:
    """Working it out again from itself changes nothing, so it is not written again."""
    first = assess(of).status
    again = replace(of, capture=msgspec.structs.replace(of.capture, status=first), now=EPOCH + 0.5)
    assert assess(again).status == first


@given(some_views)
def test_attention_is_bounded_and_worst_first(of: CaptureView) -> None:
    """At most 20 pods, with short messages."""
    attention = assess(of).status.attention
    order = ["Failed", "Drifted", "Pending", "Programmed"]
    ranks = [order.index(item.state) for item in attention]
    assert ranks == sorted(ranks)
    assert len(attention) <= MAX_ATTENTION


def test_attention_of_a_large_failure_is_cut() -> None:
    """Messages too."""
    found = tuple(
        msgspec.structs.replace(evidence(f"p{n}", PodState.FAILED), message="x" * 999)
        for n in range(50)
    )
    of = view(pods=tuple(pod(item.name) for item in found), reports=(with_evidence(*found),))
    attention = assess(of).status.attention
    assert len(attention) == MAX_ATTENTION
    assert {len(item.message) for item in attention} == {MAX_MESSAGE}


def test_no_matching_pod_is_ready() -> None:
    """There is nothing left to do."""
    assert ready(view()) == ("True", "NoMatchingPods")


def test_only_pods_that_cannot_be_captured_is_ready() -> None:
    """Finished ones, and those that an agent says are not applicable."""
    found = evidence("host", PodState.NOT_APPLICABLE, reason="HostNetwork")
    of = view(pods=(pod("done", finished=True), pod("host")), reports=(with_evidence(found),))
    assert ready(of) == ("True", "NoMatchingPods")
    assert assess(of).status.pods.not_applicable == 2


def test_an_agent_need_not_name_a_capture_for_a_pod_that_holds_nothing() -> None:
    """Pods on the host network never hold one."""
    found = PodEvidence(
        uid="host", namespace="demo", name="host", state=PodState.NOT_APPLICABLE, reason="x"
    )
    of = view(pods=(pod("host"),), reports=(with_evidence(found),))
    assert assess(of).status.pods.not_applicable == 1


def test_a_pod_that_is_not_programmed_makes_it_unready() -> None:
    """With the worst reason there is."""
    for states, reason in [
        ([PodState.PENDING], "Pending"),
        ([PodState.PENDING, PodState.DRIFTED], "Drifted"),
        ([PodState.DRIFTED, PodState.FAILED], "Failed"),
    ]:
        found = [evidence(f"p{n}", state) for n, state in enumerate(states)]
        of = view(pods=tuple(pod(item.name) for item in found), reports=(with_evidence(*found),))
        assert ready(of) == ("False", reason)


def test_a_pod_in_its_first_seconds_does_not_take_ready_back() -> None:
    """It is looked at again when it is ten seconds old."""
    of = view(
        pods=(pod("old"), pod("new", network_since=EPOCH - 4)),
        reports=(with_evidence(evidence("old")),),
    )
    assert ready(of) == ("True", "AllProgrammed")
    assert assess(of).recheck_after == 6
    assert ready(replace(of, now=EPOCH + 6)) == ("False", "Pending")


def test_a_capture_of_new_pods_only_is_not_ready_before_one_is_programmed() -> None:
    """Ready needs evidence."""
    of = view(pods=(pod("new", network_since=EPOCH - 4),))
    assert ready(of) == ("False", "Pending")


def test_replacing_the_only_pod_does_not_take_ready_back() -> None:
    """It stays True while the new pod is in its first seconds, unless the spec changed too."""
    programmed = view(pods=(pod("a"),), reports=(with_evidence(evidence("a")),))
    before = assess(programmed).status
    new = (pod("b", network_since=EPOCH - 1),)
    assert ready(view(of=capture(status=before), pods=new)) == ("True", "Pending")
    assert ready(view(of=capture(status=before, generation=2), pods=new)) == ("False", "Pending")


def test_a_pod_without_a_network_does_not_matter_yet() -> None:
    """It has no traffic: unscheduled, pulling volumes, being set up."""
    of = view(
        pods=(pod("a"), pod("new", node="", network_since=None)),
        reports=(with_evidence(evidence("a")),),
    )
    assert ready(of) == ("True", "AllProgrammed")
    assert assess(of).status.pods.pending == 1


@pytest.mark.parametrize(
    "found",
    [
        evidence("a", about=ref(program="other")),
        evidence("a", about=ref("other")),
        evidence("a", PodState.FAILED, about=ref("other", generation=2)),
        evidence("a", PodState.FAILED, about=ref(generation=1)),
    ],
    ids=["another hash", "another capture", "failed for another", "failed an earlier generation"],
)
def test_evidence_about_another_program_leaves_a_pod_pending(found: PodEvidence) -> None:
    """Only what was dispatched counts."""
    current = ref(generation=2)
    now_in_force = msgspec.structs.replace(entry(), ref=current)
    of = view(
        of=capture(generation=2),
        pods=(pod("a"),),
        candidates=(now_in_force,),
        reports=(report(pods=(dispatched("a", current),), found=(found,)),),
    )
    assert assess(of).status.pods.pending == 1


def test_an_agent_that_keeps_an_earlier_program_is_heard() -> None:
    """Why it does: else nobody would learn that the agents have to be upgraded."""
    current = ref(generation=2, program="h2")
    kept = evidence("a", about=ref(generation=1, program="h1"), reason="AgentTooOld")
    of = view(
        of=capture(generation=2),
        pods=(pod("a"),),
        candidates=(msgspec.structs.replace(entry(), ref=current),),
        reports=(report(pods=(dispatched("a", current),), found=(kept,)),),
    )
    assert condition(of, "AgentTooOld") == ("True", "AgentTooOld")
    assert ready(of) == ("False", "Pending")
    assert assess(of).status.pods.programmed == 0


def test_evidence_for_a_pod_that_was_not_dispatched_does_not_count() -> None:
    """A node speaks only of what it was told to do."""
    of = view(pods=(pod("a"),), reports=(report(found=(evidence("a"),)),))
    assert assess(of).status.pods.pending == 1


def test_evidence_from_another_node_does_not_count() -> None:
    """A node speaks only of its own pods."""
    elsewhere = report("node2", pods=(dispatched("a", WEB),), found=(evidence("a"),))
    of = view(pods=(pod("a", node="node1"),), reports=(elsewhere,))
    assert assess(of).status.pods.pending == 1


def test_superseded_everywhere_is_not_ready() -> None:
    """Every matching pod has a better capture."""
    of = view(pods=(pod("a"),), candidates=(entry(), entry("high", priority=9)))
    assert ready(of) == ("False", "Superseded")
    assert condition(of, "Superseded") == ("True", "OtherCaptureWins")


def test_superseded_somewhere_is_ready() -> None:
    """As long as the pods that it does have are programmed."""
    of = view(
        pods=(pod("a"), pod("b", labels={"app": "x"})),
        candidates=(entry(), entry("high", labels={"app": "x"}, priority=9)),
        reports=(with_evidence(evidence("a")),),
    )
    assert ready(of) == ("True", "AllProgrammed")
    assert assess(of).status.pods.superseded == 1


def test_suspended_and_observing_say_so() -> None:
    """Whatever the pods look like."""
    drifted = with_evidence(evidence("a", PodState.DRIFTED))
    suspended = view(of=capture(suspend=True), pods=(pod("a"),), reports=(drifted,))
    observing = view(of=capture(mode="Observe"), pods=(pod("a"),), reports=(drifted,))
    assert ready(suspended) == ("False", "Suspended")
    assert ready(observing) == ("True", "Observing")
    assert assess(observing).status.pods.drifted == 1


def test_a_capture_whose_program_is_not_written_yet_is_resolving() -> None:
    """Nothing is said about its pods until agents can know what it means."""
    of = replace(view(pods=(pod("a"),)), program=None, candidates=())
    assert condition(of, "Reconciling") == ("True", "Resolving")
    assert assess(of).status.pods.pending == 1


def test_nobody_on_the_redirect_port_is_a_condition_with_a_remedy() -> None:
    """The first mistake everybody makes."""
    found = evidence("a", not_listening=(15001, 15006))
    status = assess(view(pods=(pod("a"),), reports=(with_evidence(found),))).status
    told = status.conditions[-1]
    assert told.type == "ProxyNotListening"
    assert "15001, 15006" in told.message
    assert "pod a" in told.message
    assert "redirectPort" in told.message
    assert [item.reason for item in status.attention] == ["ProxyNotListening"]


def test_a_proxy_that_is_still_starting_is_not_told_of() -> None:
    """It has ten seconds."""
    found = evidence("a", not_listening=(15001,))
    starting = view(pods=(pod("a", network_since=EPOCH - 2),), reports=(with_evidence(found),))
    assert condition(starting, "ProxyNotListening") is None


def test_a_conflict_that_an_agent_reports_is_a_condition() -> None:
    """A person has to act on it."""
    found = evidence("a", PodState.FAILED, reason="ChainConflict")
    of = view(pods=(pod("a"),), reports=(with_evidence(found),))
    assert condition(of, "ChainConflict") == ("True", "ChainConflict")


def test_pods_of_an_unreachable_node_are_not_known() -> None:
    """After a minute its last evidence is no evidence any more."""
    of = view(
        pods=(pod("a"),),
        reports=(with_evidence(evidence("a")),),
        out_of_reach={"node1": EPOCH - 50},
    )
    assert (ready(of), assess(of).recheck_after) == (("True", "AllProgrammed"), 10)
    later = replace(of, now=EPOCH + 10)
    assert ready(later) == ("False", "NodeUnreachable")
    assert condition(later, "Stalled") == ("True", "NodeUnreachable")


def test_a_transition_is_dated_and_everything_else_keeps_its_date() -> None:
    """As metav1.Condition says."""
    before = assess(view(of=capture(), pods=(pod("a"),))).status
    of = view(of=capture(status=before), pods=(pod("a"),), reports=(with_evidence(evidence("a")),))
    after = assess(replace(of, now=EPOCH + 60)).status
    dates = {item.type: item.last_transition_time for item in after.conditions}
    assert dates["Ready"] == render_time(EPOCH + 60)
    assert dates["Stalled"] == render_time(EPOCH)


counts = st.builds(
    DriftCounts, detected=st.integers(0, 9), repaired=st.integers(0, 9), last=st.none()
)


@given(counts, st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=4))
def test_drift_totals_never_fall(previous: DriftCounts, pods: list[tuple[int, int]]) -> None:
    """And are the sum over pods when that is higher."""
    found = tuple(
        msgspec.structs.replace(evidence(f"p{n}"), drift_detected=detected, drift_repaired=repaired)
        for n, (detected, repaired) in enumerate(pods)
    )
    totals = drift_totals("uid-web", "demo", [with_evidence(*found)], previous)
    assert totals.detected == max(previous.detected, sum(pair[0] for pair in pods))
    assert totals.repaired == max(previous.repaired, sum(pair[1] for pair in pods))


def test_drift_of_pods_that_are_gone_still_counts() -> None:
    """Their node's agent keeps it, for this capture and no other."""
    base = with_evidence(msgspec.structs.replace(evidence("a"), drift_detected=2))
    past = (PastDrift(capture_uid="uid-web", detected=3), PastDrift(capture_uid="x", detected=9))
    status = msgspec.structs.replace(base.status, past_drift=past)
    reported = node_report(base.metadata, base.spec, status)
    assert drift_totals("uid-web", "demo", [reported], DriftCounts()).detected == 5


def test_drift_reported_for_another_tenant_does_not_count() -> None:
    """A pod of another namespace can't belong to the capture."""
    foreign = msgspec.structs.replace(evidence("a", namespace="other"), drift_detected=9)
    totals = drift_totals("uid-web", "demo", [with_evidence(foreign)], DriftCounts())
    assert totals.detected == 0


def test_drift_of_a_pod_that_was_not_dispatched_does_not_count() -> None:
    """A node speaks only of what it was told to do."""
    drifted = msgspec.structs.replace(evidence("a"), drift_detected=9)
    totals = drift_totals("uid-web", "demo", [report(found=(drifted,))], DriftCounts())
    assert totals.detected == 0


def test_the_last_drift_tells_who_did_it() -> None:
    """As its node's agent found out."""
    last = LastDrift(time="2026-01-01T00:00:00Z", pod="a", kind="Flushed", actor="nft (pid 4242)")
    found = msgspec.structs.replace(evidence("a"), last_drift=last)
    of = view(pods=(pod("a"),), reports=(with_evidence(found),))
    assert assess(of).status.drift.last == last


def test_the_newest_drift_is_the_last_one() -> None:
    """Over all pods, and the one that was told before."""

    def drift(time: str) -> LastDrift:
        return LastDrift(time=time, pod="a", kind="Flushed")

    found = [
        msgspec.structs.replace(evidence(f"p{n}"), last_drift=drift(f"2026-01-0{n}T00:00:00Z"))
        for n in (2, 3, 1)
    ]
    told = DriftCounts(last=drift("2026-01-02T12:00:00Z"))
    last = drift_totals("uid-web", "demo", [with_evidence(*found)], told).last
    assert last == drift("2026-01-03T00:00:00Z")


@given(some_pods, some_reports)
def test_a_deleted_capture_counts_the_pods_that_it_still_holds(
    pods: list[Pod], one: NodeReport
) -> None:
    """All of them pending."""
    of = view(of=capture(deleting=True), pods=tuple(pods), reports=(one,))
    status = assess(of).status
    assert status.pods.matched == status.pods.pending
    assert condition(of, "Reconciling") == ("True", "Releasing")


def test_statuses_of_an_unknown_form_are_replaced() -> None:
    """A status that can't be read counts as empty."""
    assert capture().status == TrafficCaptureStatus()
