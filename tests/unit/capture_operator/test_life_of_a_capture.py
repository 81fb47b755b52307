"""From kubectl apply to kubectl delete, with agents played by the test."""

from typing import Any

import pytest

from capture_api.names import FINALIZER
from capture_api.node_captures import DispatchedPod, NodeCaptureSpec, ProgramRef
from capture_operator.api import ApiError
from capture_operator.resources import (
    CAPTURES,
    EVENTS,
    NODE_REPORTS,
    NODES,
    PODS,
    PROGRAMS,
    ObjectKey,
    Resource,
)
from capture_operator.times import render_time
from capture_operator.work import StatusWork
from unit.capture_operator.objects import raw_agent, raw_capture, raw_node, raw_pod
from unit.capture_operator.world import World


@pytest.fixture
async def world() -> World:
    """A node with a pod, and a capture of it that its agent has programmed."""
    world = World()
    world.add_node()
    world.server.apply(PODS, raw_pod("a"))
    world.server.apply(CAPTURES, raw_capture())
    await world.settle()
    world.report()
    await world.settle()
    return world


def uid_of(world: World, name: str = "web") -> str:
    """Read a capture's UID."""
    uid: str = world.server.get(CAPTURES, "demo", name)["metadata"]["uid"]
    return uid


async def test_a_captured_pod_is_ready_once_its_agent_has_reported_it() -> None:
    """Ready follows the evidence, not the dispatch."""
    world = World()
    world.add_node()
    world.server.apply(PODS, raw_pod("a"))
    world.server.apply(CAPTURES, raw_capture())
    await world.settle()
    assert world.dispatched() == {"a": "web"}
    assert world.condition("Ready") == ("False", "Pending")
    world.report()
    await world.settle()
    assert world.condition("Ready") == ("True", "AllProgrammed")
    assert world.status_of()["pods"]["programmed"] == 1


async def test_a_dispatched_capture_has_its_finalizer_and_its_program() -> None:
    """No chain can be written for a capture that could vanish unnoticed."""
    world = World()
    complete = []

    def look(_event: str, resource: Resource, raw: dict[str, Any]) -> None:
        if resource is NODE_REPORTS and any("program" in pod for pod in raw["spec"]["pods"]):
            finalizers = world.server.get(CAPTURES, "demo", "web")["metadata"]["finalizers"]
            complete.append(
                FINALIZER in finalizers and world.server.exists(PROGRAMS, "demo", "web")
            )

    world.server.watchers.append(look)
    world.add_node()
    world.server.apply(PODS, raw_pod("a"))
    world.server.apply(CAPTURES, raw_capture())
    await world.settle()
    assert complete == [True]


async def test_a_program_is_owned_by_its_capture(world: World) -> None:
    """The garbage collector takes the program away with the capture."""
    (owner,) = world.server.get(PROGRAMS, "demo", "web")["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (uid_of(world), True)


async def test_a_node_capture_is_owned_by_its_node(world: World) -> None:
    """The garbage collector takes it away with the node."""
    (owner,) = world.server.get(NODE_REPORTS, "", "node1")["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Node", "node1")


async def test_nothing_is_written_when_nothing_changed(world: World) -> None:
    """Listing everything again finds everything as it should be."""
    before = list(world.server.writes)
    await world.resync.fill()
    for key in world.store.captures:
        world.watch("MODIFIED", CAPTURES, world.server.get(CAPTURES, *key))
    await world.settle()
    assert world.server.writes == before


async def test_nothing_is_ever_written_to_pods_or_nodes(world: World) -> None:
    """Invariant 8: nobody writes pods."""
    world.server.delete(CAPTURES, "demo", "web")
    await world.settle()
    assert not {PODS, NODES} & {resource for resource, _, _ in world.server.writes}


async def test_an_invalid_change_stalls_the_capture_and_leaves_the_data_plane(
    world: World,
) -> None:
    """The last valid program stays in force."""
    program = world.server.get(PROGRAMS, "demo", "web")["spec"]
    world.server.change(CAPTURES, "demo", "web", spec={"podSelector": {}})
    await world.settle()
    assert world.condition("Stalled") == ("True", "InvalidSpec")
    assert world.condition("Ready") == ("False", "InvalidSpec")
    assert world.server.get(PROGRAMS, "demo", "web")["spec"] == program
    assert world.dispatched() == {"a": "web"}
    assert world.status_of()["pods"]["programmed"] == 1
    assert ("InvalidSpec", 1) in world.events()


async def test_captures_of_an_excluded_namespace_are_stalled_and_let_go_of_their_pods(
    world: World,
) -> None:
    """Also those that were there before the namespace was excluded; others are not concerned."""
    world.server.apply(PODS, raw_pod("b", namespace="other"))
    world.server.apply(CAPTURES, raw_capture(namespace="other"))
    after = World(excluded_namespaces={"demo"}, server=world.server)
    await after.resync.fill()
    await after.settle()
    assert after.condition("Stalled") == ("True", "NamespaceExcluded")
    assert after.condition("Ready") == ("False", "NamespaceExcluded")
    assert after.dispatched() == {"a": "", "b": "web"}
    assert after.server.get(PROGRAMS, "demo", "web")["spec"]["withdrawn"] is True
    assert after.server.get(PROGRAMS, "other", "web")["spec"]["withdrawn"] is False
    after.server.delete(CAPTURES, "demo", "web")
    await after.settle()
    after.report()
    await after.settle()
    assert not after.server.exists(CAPTURES, "demo", "web")


async def test_an_invalid_capture_says_what_to_write_instead(world: World) -> None:
    """The message names the field and the remedy."""
    world.server.apply(CAPTURES, raw_capture("bad", inbound=None))
    await world.settle()
    (message,) = {
        condition["message"]
        for condition in world.status_of("bad")["conditions"]
        if condition["status"] == "True"
    }
    assert "inbound, outbound or dns" in message
    assert not world.server.exists(PROGRAMS, "demo", "bad")


async def test_an_invalid_capture_hurts_no_other(world: World) -> None:
    """Invariant 10: every other capture goes on."""
    world.server.apply(CAPTURES, raw_capture("bad", priority="high"))
    world.server.apply(PODS, raw_pod("b"))
    await world.settle()
    world.report()
    await world.settle()
    assert world.condition("Ready") == ("True", "AllProgrammed")
    assert world.status_of()["pods"]["programmed"] == 2


async def test_a_deleted_capture_stays_until_its_agent_has_let_go(world: World) -> None:
    """The finalizer holds it while a node still reports its chains."""
    world.server.delete(CAPTURES, "demo", "web")
    await world.settle()
    assert world.dispatched() == {"a": ""}
    assert world.condition("Reconciling") == ("True", "Releasing")
    assert world.server.exists(CAPTURES, "demo", "web")
    world.report()
    await world.settle()
    assert not world.server.exists(CAPTURES, "demo", "web")
    assert world.dispatched() == {}
    assert ("Released", 1) in world.events()


async def test_no_starting_pod_is_matched_with_a_capture_that_goes(world: World) -> None:
    """Its program says so before it goes, and while its agent has not let go."""
    world.server.delete(CAPTURES, "demo", "web")
    await world.settle()
    assert world.server.get(PROGRAMS, "demo", "web")["spec"]["withdrawn"] is True
    assert world.server.exists(CAPTURES, "demo", "web")
    world.report()
    await world.settle()
    assert not world.server.exists(CAPTURES, "demo", "web")


async def test_a_capture_that_nothing_holds_is_withdrawn_before_it_goes() -> None:
    """An agent may be matching a starting pod with it at this very moment."""
    world = World()
    world.server.apply(CAPTURES, raw_capture())
    await world.settle()
    before = len(world.server.writes)
    world.server.delete(CAPTURES, "demo", "web")
    await world.settle()
    written = [(resource.kind, fields[-1]) for resource, _, fields in world.server.writes[before:]]
    withdrawn, gone = ("CaptureProgram", "/spec"), ("TrafficCapture", "/metadata/finalizers")
    assert written.index(withdrawn) < written.index(gone)


async def test_a_program_that_is_gone_before_its_capture_holds_nobody(world: World) -> None:
    """As when the whole namespace is deleted; here nobody has told us yet."""
    world.server.watchers.remove(world.watch)
    world.server.delete(PROGRAMS, "demo", "web")
    world.server.watchers.append(world.watch)
    world.server.delete(CAPTURES, "demo", "web")
    await world.settle()
    world.report()
    await world.settle()
    assert not world.server.exists(CAPTURES, "demo", "web")


async def test_a_capture_whose_namespace_is_no_longer_excluded_is_back(world: World) -> None:
    """Its program is in force again, for agents and for the dispatch."""
    excluding = World(excluded_namespaces={"demo"}, server=world.server)
    await excluding.resync.fill()
    await excluding.settle()
    after = World(server=world.server)
    await after.resync.fill()
    await after.settle()
    assert after.server.get(PROGRAMS, "demo", "web")["spec"]["withdrawn"] is False
    assert after.dispatched() == {"a": "web"}


async def test_a_change_of_the_failure_policy_reaches_agents_and_rewrites_no_rule(
    world: World,
) -> None:
    """It is not part of the program."""
    before = world.server.get(PROGRAMS, "demo", "web")["spec"]
    spec = world.server.get(CAPTURES, "demo", "web")["spec"]
    world.server.change(CAPTURES, "demo", "web", spec={**spec, "failurePolicy": "Ignore"})
    await world.settle()
    after = world.server.get(PROGRAMS, "demo", "web")["spec"]
    assert (before["failurePolicy"], after["failurePolicy"]) == ("Fail", "Ignore")
    assert (after["hash"], after["program"]) == (before["hash"], before["program"])


async def test_a_pod_of_a_deleted_capture_goes_to_the_next_one(world: World) -> None:
    """Two captures on one pod: when the winner goes, the loser takes over."""
    world.server.apply(CAPTURES, raw_capture("high", priority=10))
    await world.settle()
    assert world.dispatched() == {"a": "high"}
    assert world.condition("Ready") == ("False", "Superseded")
    assert world.condition("Superseded") == ("True", "OtherCaptureWins")
    world.server.delete(CAPTURES, "demo", "high")
    await world.settle()
    assert world.dispatched() == {"a": "web"}
    world.report()
    await world.settle()
    assert not world.server.exists(CAPTURES, "demo", "high")
    assert world.condition("Ready") == ("True", "AllProgrammed")


async def test_an_agent_that_is_away_is_named_and_then_given_up(world: World) -> None:
    """60 s until it is named, 300 s until it holds nothing any more."""
    world.server.delete(PODS, "traffic-capture-system", "agent-node1")
    world.server.delete(CAPTURES, "demo", "web")
    await world.settle()
    assert world.condition("Stalled") == ("False", "Progressing")
    await world.pass_time(61)
    assert world.condition("Stalled") == ("True", "NodeUnreachable")
    await world.pass_time(240)
    assert not world.server.exists(CAPTURES, "demo", "web")


async def test_a_node_that_is_gone_holds_nothing(world: World) -> None:
    """Deleting the node lets the capture go at once."""
    world.server.delete(CAPTURES, "demo", "web")
    await world.settle()
    world.server.delete(NODES, "", "node1")
    await world.settle()
    assert not world.server.exists(CAPTURES, "demo", "web")


async def test_a_capture_without_our_finalizer_is_left_alone_when_deleted(world: World) -> None:
    """Somebody else's finalizer is none of our business."""
    raw = world.server.get(CAPTURES, "demo", "web")
    raw["metadata"]["finalizers"] = ["example.com/theirs"]
    world.server.apply(CAPTURES, raw)
    world.server.delete(CAPTURES, "demo", "web")
    await world.settle()
    world.report()
    await world.settle()
    finalizers = world.server.get(CAPTURES, "demo", "web")["metadata"]["finalizers"]
    assert finalizers == ["example.com/theirs"]
    assert ("Released", 1) not in world.events()


async def test_a_dispatch_on_its_way_holds_a_deleted_capture(world: World) -> None:
    """Until the answer is there, nobody else can know what the node was told."""
    world.server.delete(CAPTURES, "demo", "web")
    await world.settle()
    program = ProgramRef(name="web", capture_uid=uid_of(world), generation=1, hash="h")
    late = DispatchedPod(uid="a", namespace="demo", name="a", program=program)
    world.dispatch.in_flight["node1"] = NodeCaptureSpec(pods=(late,))
    world.report()
    await world.settle()
    assert world.server.exists(CAPTURES, "demo", "web")
    del world.dispatch.in_flight["node1"]
    await world.pass_time(1)
    assert not world.server.exists(CAPTURES, "demo", "web")


async def test_a_node_that_comes_back_is_dated_anew(world: World) -> None:
    """What was known of an earlier node of that name is gone with it."""
    world.server.delete(PODS, "traffic-capture-system", "agent-node1")
    world.server.delete(NODES, "", "node1")
    await world.pass_time(3600)
    world.server.apply(NODES, raw_node("node1"))
    await world.settle()
    assert world.condition("Stalled") == ("False", "Progressing")


async def test_a_written_status_is_no_reason_to_dispatch(world: World) -> None:
    """It changes nothing for any node."""
    raw = world.server.get(CAPTURES, "demo", "web")
    world.server.change(CAPTURES, "demo", "web", status=raw["status"] | {"observedGeneration": 0})
    assert list(world.work) == [StatusWork(ObjectKey("demo", "web"))]


async def test_the_finalizer_of_others_survives_ours(world: World) -> None:
    """Adding and removing ours keeps theirs."""
    raw = world.server.get(CAPTURES, "demo", "web")
    raw["metadata"]["finalizers"] = ["example.com/theirs"]
    world.server.apply(CAPTURES, raw)
    await world.settle()
    held = world.server.get(CAPTURES, "demo", "web")["metadata"]["finalizers"]
    assert held == ["example.com/theirs", FINALIZER]


async def test_pods_stay_listed_while_they_report_a_capture_that_is_gone(world: World) -> None:
    """Even if the finalizer was taken off by force, agents are told to remove its chains."""
    raw = world.server.get(CAPTURES, "demo", "web")
    raw["metadata"]["finalizers"] = []
    world.server.watchers.clear()  # the operator is away while it happens
    world.server.apply(CAPTURES, raw)
    world.server.delete(CAPTURES, "demo", "web")
    world.server.watchers.append(world.watch)
    await world.resync.fill()
    await world.settle()
    assert world.dispatched() == {"a": ""}
    world.report()
    await world.settle()
    assert world.dispatched() == {}


async def test_a_pod_that_moves_out_of_the_selector_is_released(world: World) -> None:
    """Labels may change while a pod runs."""
    raw = raw_capture("narrow", labels={"app": "x"}, priority=5)
    world.server.apply(CAPTURES, raw)
    world.server.apply(PODS, raw_pod("a", labels={"app": "x"}))
    await world.settle()
    assert world.dispatched() == {"a": "narrow"}
    world.server.apply(PODS, raw_pod("a", labels={"app": "y"}))
    await world.settle()
    assert world.dispatched() == {"a": "web"}


async def test_a_write_that_lost_a_race_is_decided_anew(world: World) -> None:
    """A 409 means that somebody else wrote: look again, then decide."""
    stale = world.server.watchers.copy()
    world.server.watchers.clear()
    world.server.change(NODE_REPORTS, "", "node1", spec={"pods": []})  # a second operator
    world.server.watchers.extend(stale)
    world.server.apply(PODS, raw_pod("b"))
    with pytest.raises(AssertionError, match="come to rest"):
        await world.settle()
    world.watch("MODIFIED", NODE_REPORTS, world.server.get(NODE_REPORTS, "", "node1"))
    await world.settle()
    assert world.dispatched() == {"a": "web", "b": "web"}


async def test_drift_is_told_once_and_counted(world: World) -> None:
    """A flush that was repaired shows in the counters and in two Events."""
    last = {"time": render_time(world.now), "pod": "a", "kind": "Flushed", "actor": "iptables"}
    drifted = {"driftDetected": 1, "driftRepaired": 1, "lastDrift": last}
    await world.pass_time(20)
    world.report(a=drifted)
    await world.settle()
    drift = world.status_of()["drift"]
    assert (drift["detected"], drift["repaired"], drift["last"]["kind"]) == (1, 1, "Flushed")
    assert {("Drifted", 1), ("Repaired", 1)} <= set(world.events())


async def test_counters_alone_are_written_at_most_every_ten_seconds(world: World) -> None:
    """A status that differs only in counters waits its turn."""
    await world.pass_time(20)
    world.report(a={"driftDetected": 1})
    await world.settle()
    world.report(a={"driftDetected": 2})
    await world.settle()
    assert world.status_of()["drift"]["detected"] == 1
    await world.pass_time(10)
    assert world.status_of()["drift"]["detected"] == 2


async def test_a_transition_is_written_at_once(world: World) -> None:
    """Also just after another write."""
    world.report(a={"state": "Failed", "reason": "NoNetns"})
    await world.settle()
    world.report()
    await world.settle()
    assert world.condition("Ready") == ("True", "AllProgrammed")


async def test_an_unreachable_node_is_named_in_time(world: World) -> None:
    """Time alone makes the status change."""
    since = render_time(world.now)
    world.server.apply(NODES, raw_node("node1", not_ready_since=since))
    await world.settle()
    assert world.condition("Ready") == ("True", "AllProgrammed")
    await world.pass_time(61)
    assert world.condition("Ready") == ("False", "NodeUnreachable")
    assert world.status_of()["pods"]["pending"] == 1


async def test_an_agent_elsewhere_with_our_labels_is_not_our_agent(world: World) -> None:
    """A tenant can't pass a pod off as the node agent."""
    impostor = raw_agent("node1")
    impostor["metadata"] |= {"namespace": "tenant", "uid": "impostor"}
    world.server.apply(PODS, impostor)
    world.server.delete(PODS, "traffic-capture-system", "agent-node1")
    await world.settle()
    await world.pass_time(61)
    assert world.condition("Ready") == ("False", "NodeUnreachable")


async def test_a_restarted_operator_writes_and_tells_nothing_again(world: World) -> None:
    """Everything that matters is in the cluster."""
    again = World()
    again.server._objects = world.server._objects
    again.server._version = world.server._version
    await again.resync.fill()
    await again.settle()
    assert again.server.writes == []


async def test_a_failed_listing_drops_nothing(world: World) -> None:
    """Half a listing proves nothing about what is missing from it."""
    world.server.refusals.append(ApiError("away"))
    with pytest.raises(ApiError):
        await world.resync.list_once(PODS)
    assert world.store.pods_in("demo")


async def test_a_deletion_that_no_watch_told_is_found_by_the_next_listing(world: World) -> None:
    """Watches that were down start again with what exists."""
    world.server.watchers.clear()
    world.server.delete(PODS, "demo", "a")
    world.server.watchers.append(world.watch)
    await world.resync.fill()
    await world.settle()
    assert world.dispatched() == {}


async def test_a_malformed_report_is_said_once_and_hurts_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """An entry that can't be read counts as not reported."""
    world.server.apply(PODS, raw_pod("b"))
    await world.settle()
    for _ in range(2):
        world.report(b={"state": "Sideways"})
        await world.settle()
    assert (
        world.status_of()["pods"] | {"matched": 2, "programmed": 1, "pending": 1}
        == (world.status_of()["pods"])
    )
    assert len([line for line in caplog.messages if "ignored in part" in line]) == 1


async def test_events_expire_and_are_made_anew(world: World) -> None:
    """An Event that the API server has forgotten is created again."""
    world.report(a={"state": "Failed", "reason": "NoNetns"})
    await world.settle()
    for raw in world.server.all(EVENTS):
        world.server.delete(EVENTS, "demo", raw["metadata"]["name"])
    world.report()
    await world.settle()
    world.now += 60
    world.report(a={"state": "Failed", "reason": "NoNetns"})
    await world.settle()
    assert ("Failed", 2) in world.events()
