"""When a deleted capture may go."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from capture_api.node_captures import PodState
from capture_operator.releasing import Reach, Release, release
from capture_operator.reports import NodeReport
from unit.capture_operator.objects import EPOCH
from unit.capture_operator.values import dispatched, evidence, ref, report


def released(
    *reports: NodeReport, since: Mapping[str, float] | None = None, nodes: str = "node1 node2"
) -> Release:
    """Decide on the capture `web` in `demo`; both nodes exist unless said otherwise."""
    reach = Reach(nodes=nodes.split(), since=since or {}, give_up_after=300.0)
    return release("uid-web", "demo", reports, reach, EPOCH)


def test_without_node_captures_nothing_holds() -> None:
    """A capture of an empty cluster goes at once."""
    assert released().done


def test_a_dispatch_that_still_refers_to_it_holds() -> None:
    """The node has not even been told to let go."""
    assert released(report(pods=(dispatched("a", ref()),))).holding == ("node1",)


def test_evidence_of_its_chains_holds() -> None:
    """Whatever state the pod is in."""
    for state in PodState:
        found = (evidence("a", state),)
        assert not released(report(pods=(dispatched("a"),), found=found)).done


def test_an_agent_that_has_not_read_the_latest_dispatch_holds() -> None:
    """It may be programming an earlier one right now."""
    behind = report(pods=(dispatched("a"),), generation=2, observed=1)
    assert not released(behind).done


def test_an_agent_behind_with_other_namespaces_does_not_hold() -> None:
    """It has no pod that the capture could have selected."""
    behind = report(pods=(dispatched("a", namespace="other"),), generation=2, observed=1)
    assert released(behind).done


def test_an_agent_that_has_let_go_does_not_hold() -> None:
    """Its pods are captured by another capture, or by none."""
    other = ref("other")
    free = report(pods=(dispatched("a", other),), found=(evidence("a", about=other),))
    assert released(free).done


def test_a_node_that_is_gone_does_not_hold() -> None:
    """Its NodeCapture will be collected."""
    assert released(report(pods=(dispatched("a", ref()),)), nodes="node2").done


def test_a_node_out_of_reach_is_named_after_a_minute() -> None:
    """And not before: an agent restarts faster than that."""
    holding = report(pods=(dispatched("a", ref()),))
    assert released(holding, since={"node1": EPOCH - 59}).unreachable == ()
    named = released(holding, since={"node1": EPOCH - 60})
    assert (named.holding, named.unreachable) == (("node1",), ("node1",))


def test_a_node_out_of_reach_is_given_up_after_five_minutes() -> None:
    """Its agent removes the rest when it is back."""
    holding = report(pods=(dispatched("a", ref()),))
    assert not released(holding, since={"node1": EPOCH - 299}).done
    assert released(holding, since={"node1": EPOCH - 300}).done


def test_it_says_when_time_will_change_the_answer() -> None:
    """At a minute, and at five."""
    holding = report(pods=(dispatched("a", ref()),))
    assert released(holding).recheck_after is None
    assert released(holding, since={"node1": EPOCH - 50}).recheck_after == 10
    assert released(holding, since={"node1": EPOCH - 100}).recheck_after == 200


reports = st.lists(
    st.builds(
        report,
        st.sampled_from(["node1", "node2", "node3"]),
        pods=st.sampled_from([(), (dispatched("a"),), (dispatched("a", ref()),)]),
        found=st.sampled_from([(), (evidence("a"),), (evidence("a", about=ref("other")),)]),
        observed=st.integers(0, 1),
    ),
    unique_by=lambda item: item.metadata.name,
)
since = st.dictionaries(
    st.sampled_from(["node1", "node2", "node3"]), st.floats(EPOCH - 1000, EPOCH)
)


@given(reports, since)
def test_a_release_is_done_at_the_latest_when_no_reachable_node_refers_to_it(
    reports: list[NodeReport], since: dict[str, float]
) -> None:
    """And never while a reachable node does."""
    answer = released(*reports, since=since)
    speaking = {
        item.metadata.name
        for item in reports
        if any(pod.capture_uid == "uid-web" for pod in item.status.pods)
        and item.metadata.name not in since
        and item.metadata.name != "node3"
    }
    assert speaking <= set(answer.holding)
    assert set(answer.unreachable) <= set(answer.holding) <= {"node1", "node2"}
    assert all(since.get(node, EPOCH) > EPOCH - 300 for node in answer.holding)


@given(reports, since)
def test_waiting_long_enough_releases_what_only_unreachable_nodes_hold(
    reports: list[NodeReport], since: dict[str, float]
) -> None:
    """Following `recheck_after` comes to an end."""
    now = EPOCH
    reach = Reach(nodes={"node1", "node2"}, since=since, give_up_after=300.0)
    answer = release("uid-web", "demo", reports, reach, now)
    while answer.recheck_after is not None:
        assert answer.recheck_after > 0
        now += answer.recheck_after + 0.001
        answer = release("uid-web", "demo", reports, reach, now)
    assert not set(answer.holding) & set(since)
