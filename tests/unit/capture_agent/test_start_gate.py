"""What is answered when the runtime asks whether a pod may start."""

import asyncio

import pytest
from msgspec.structs import replace

from capture_agent.records import Finding
from capture_api.captures import FailurePolicy, Mode
from capture_api.node_captures import START_REFUSED, Captured, PodState
from capture_api.selection import LabelSelector
from unit.capture_agent.captures import POD_UID, dispatched, ref
from unit.capture_agent.gated_node import IN_TIME, GatedNode, described, failed, programmed


async def test_a_pod_that_nothing_selects_starts_without_a_look() -> None:
    """Other namespaces' captures, and labels that the kubelet adds, select nothing."""
    node = GatedNode()
    node.capture("other")
    node.capture(selector=LabelSelector(match_labels={"io.kubernetes.pod.name": "web"}))
    await node.gate.pod_starts(described())
    assert node.looks == []


async def test_a_selected_pod_is_captured_before_it_is_dispatched() -> None:
    """The look knows that the runtime waits, and with which program."""
    node = GatedNode()
    spec = node.capture()
    await node.gate.pod_starts(described())
    (look,) = node.looks
    assert (look.is_starting, look.is_provisional) == (True, True)
    assert (look.pod.program, look.pod.pod_ips) == (ref(spec), ("10.9.8.7",))
    assert node.told == ["s1"]


async def test_what_was_dispatched_counts_more() -> None:
    """The operator knows better which capture has the pod."""
    node = GatedNode()
    node.capture()
    node.dispatch(dispatched(None))
    await node.gate.pod_starts(described())
    assert node.looks == []


async def test_a_pod_that_cannot_be_captured_does_not_start() -> None:
    """Its Event says which capture, and why; so does the status."""
    node = GatedNode(failed)
    node.capture()
    await node.gate.pod_starts(described())
    refusal = await node.gate.container_starts(described())
    assert refusal == (
        "TrafficCapture demo/web can't capture this pod: ChainConflict: chain X exists"
    )
    assert node.finding() == Finding(PodState.FAILED, START_REFUSED, refusal)


async def test_a_refused_pod_starts_once_the_cause_is_gone() -> None:
    """The kubelet tries again, in the same sandbox; nothing ran in it, so it is in time."""
    node = GatedNode(failed)
    node.capture()
    await node.gate.pod_starts(described())
    assert await node.gate.container_starts(described())
    node.look = programmed
    node.looks.clear()
    assert await node.gate.container_starts(described()) is None
    assert [look.is_starting for look in node.looks] == [True]
    assert node.captured() is IN_TIME


async def test_what_a_sandbox_has_had_is_not_said_of_the_next() -> None:
    """The same pod, another sandbox: it has no container yet."""
    node = GatedNode()
    node.capture()
    await node.gate.pod_starts(described(sandbox="old"))
    assert await node.gate.container_starts(described(sandbox="old")) is None
    node.look = failed
    await node.gate.pod_starts(described(sandbox="new"))
    assert await node.gate.container_starts(described(sandbox="new"))


@pytest.mark.parametrize(
    "changes",
    [{"failure_policy": FailurePolicy.IGNORE}, {"mode": Mode.OBSERVE}, {"suspend": True}],
)
async def test_a_capture_that_does_not_guard_lets_the_pod_start(changes: dict[str, object]) -> None:
    """Nothing that is not written could be waited for."""
    node = GatedNode(failed)
    node.capture(**changes)
    await node.gate.pod_starts(described())
    assert await node.gate.container_starts(described()) is None
    assert node.finding() == Finding(PodState.FAILED, "ChainConflict", "chain X exists")


async def test_pods_that_the_cluster_needs_always_start() -> None:
    """Captured if that can be, and started if not."""
    node = GatedNode(failed)
    node.capture("kube-system")
    await node.gate.pod_starts(described(namespace="kube-system"))
    assert len(node.looks) == 1
    assert await node.gate.container_starts(described(namespace="kube-system")) is None


async def test_a_pod_on_the_nodes_network_starts() -> None:
    """There is no namespace of its own to look at."""
    node = GatedNode(failed)
    node.capture()
    await node.gate.pod_starts(described(netns=None))
    assert await node.gate.container_starts(described(netns=None)) is None
    assert node.looks == []


async def test_a_pod_dispatched_to_an_unknown_program_waits() -> None:
    """It has not reached this node; started now, it would be uncaptured."""
    node = GatedNode(failed)
    node.dispatch(dispatched(ref()))
    await node.gate.pod_starts(described())
    assert "demo/web" in (await node.gate.container_starts(described()) or "")


async def test_what_took_too_long_is_answered_by_policy() -> None:
    """The runtime does not wait for ever."""
    node = GatedNode()
    assert node.gate.undecided(described()) is None
    node.capture()
    assert "in time" in (node.gate.undecided(described()) or "")
    node.capture(failure_policy=FailurePolicy.IGNORE)
    assert node.gate.undecided(described()) is None


async def test_a_container_of_a_pod_captured_in_time_is_no_matter() -> None:
    """Nor one of a pod that nothing captures."""
    node = GatedNode()
    node.capture()
    await node.gate.pod_starts(described())
    await node.gate.pod_starts(described("other", namespace="free"))
    node.looks.clear()
    assert await node.gate.container_starts(described()) is None
    assert await node.gate.container_starts(described("other", namespace="free")) is None
    assert node.looks == []


async def test_a_sandbox_that_started_unseen_is_captured_before_a_container() -> None:
    """The agent was away; whether it is the first container is not known."""
    node = GatedNode()
    node.capture()
    assert await node.gate.container_starts(described()) is None
    assert [look.is_starting for look in node.looks] == [False]
    node.look = failed
    assert await node.gate.container_starts(described(sandbox="s2"))


async def test_sandboxes_that_were_there_before_are_looked_at_soon() -> None:
    """They run already: nobody waits for the looks."""
    node = GatedNode()
    node.capture()
    await node.gate.synchronize((described(), described("b"), described("c", namespace="free")))
    assert node.looks == []
    await node.look_at_what_is_due()
    assert {look.pod.uid for look in node.looks} == {POD_UID, "b"}


async def test_sandboxes_that_ended_unseen_are_let_go() -> None:
    """The runtime does not list them any more."""
    node = GatedNode()
    node.capture()
    await node.gate.pod_starts(described())
    await node.gate.synchronize(())
    assert node.gone == ["s1"]
    assert node.loop.known(POD_UID) is None


async def test_the_end_of_an_old_sandbox_is_not_that_of_the_new_one() -> None:
    """A pod gets a new sandbox before the old one is removed."""
    node = GatedNode()
    node.capture()
    await node.gate.pod_starts(described(sandbox="old"))
    await node.gate.pod_starts(described(sandbox="new"))
    await node.gate.pod_removed(described(sandbox="old"))
    assert node.gone == ["old"]
    assert node.loop.known(POD_UID) is not None
    await node.gate.pod_stopped(described(sandbox="new"))
    await node.gate.pod_removed(described(sandbox="new"))
    assert node.gone == ["old", "new"]


async def test_a_capture_that_is_withdrawn_lets_go_of_undispatched_pods() -> None:
    """The look that follows takes the rules out."""
    node = GatedNode()
    node.capture()
    await node.gate.pod_starts(described())
    node.capture(withdrawn=True)
    record = node.loop.known(POD_UID)
    assert record is not None
    assert record.pod.program is None


async def test_the_connection_is_told() -> None:
    """For the status."""
    node = GatedNode()
    node.gate.connected("containerd", "2.2.1")
    node.gate.disconnected("it ended")
    assert node.connections == [True, False]


async def test_a_container_that_was_let_through_undecided_ends_the_start() -> None:
    """Whatever comes into the pod from now on is late."""
    node = GatedNode(hangs=True)
    node.capture(failure_policy=FailurePolicy.IGNORE)
    for starts in (node.gate.pod_starts, node.gate.container_starts):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(starts(described()), 0.001)
    assert node.gate.undecided(described()) is None
    node.hangs = False
    node.loop.look_again(POD_UID)
    await node.look_at_what_is_due()
    looks = [look.is_starting for look in node.looks]
    assert (looks[:2], set(looks[2:])) == ([True, True], {False})


async def test_what_a_look_brings_in_after_a_container_was_let_through_is_late() -> None:
    """It began when there was none yet."""
    node = GatedNode(look=failed)
    node.capture(failure_policy=FailurePolicy.IGNORE)
    await node.gate.pod_starts(described())
    node.look = programmed
    node.pause = asyncio.Event()
    async with node.looking():
        node.loop.look_again(POD_UID)
        await asyncio.sleep(0)
        assert node.looks[-1].is_starting
        assert node.gate.undecided(described()) is None
        node.pause.set()
        node.loop.look_again(POD_UID)
        for _ in range(4):
            await asyncio.sleep(0)
    looks = [look.is_starting for look in node.looks]
    assert (looks[:2], set(looks[2:])) == ([True, True], {False})
    assert node.captured() is Captured.LATE


async def test_a_capture_that_comes_before_the_first_container_guards_it() -> None:
    """Nothing claimed the pod when its sandbox started, and its image took long."""
    node = GatedNode(look=failed)
    await node.gate.pod_starts(described())
    node.dispatch(dispatched(ref(node.capture())))
    await node.look_at_what_is_due()
    assert await node.gate.container_starts(described())
    node.look = programmed
    node.loop.look_again(POD_UID)
    await node.look_at_what_is_due()
    looks = len(node.looks)
    assert await node.gate.container_starts(described()) is None
    assert len(node.looks) == looks, "it was found captured"
    assert node.captured() is IN_TIME


async def test_a_capture_that_changes_before_the_first_container_guards_it() -> None:
    """What was found was found under another program."""
    node = GatedNode()
    node.capture()
    await node.gate.pod_starts(described())
    node.capture(capture_generation=2, hash="another")
    node.look = failed
    assert await node.gate.container_starts(described())


async def test_what_became_of_a_capture_before_the_first_container_counts() -> None:
    """What was found when the sandbox started may be true no more."""
    node = GatedNode()
    node.capture()
    await node.gate.pod_starts(described())
    node.look = failed
    node.loop.look_again(POD_UID)
    await node.look_at_what_is_due()
    assert await node.gate.container_starts(described())


async def test_a_capture_that_comes_after_the_first_container_refuses_no_other() -> None:
    """The pod has started uncaptured; whether the rest of it may is no question of its start."""
    node = GatedNode(look=failed)
    await node.gate.pod_starts(described())
    assert await node.gate.container_starts(described()) is None
    node.dispatch(dispatched(ref(node.capture())))
    assert await node.gate.container_starts(described()) is None
    assert node.looks == []


async def test_nothing_is_in_time_once_the_runtime_does_not_ask() -> None:
    """It may have created containers meanwhile."""
    node = GatedNode()
    await node.gate.pod_starts(described())
    node.gate.disconnected("it ended")
    await node.gate.synchronize((described(),))
    node.dispatch(dispatched(ref(node.capture())))
    await node.look_at_what_is_due()
    assert await node.gate.container_starts(described()) is None
    assert node.captured() is Captured.LATE


@pytest.mark.parametrize("unseen", [True, False])
async def test_what_was_found_in_one_sandbox_lets_nothing_start_in_the_next(
    *, unseen: bool
) -> None:
    """The runtime did not ask when that started, and whether this one is captured is not known."""
    node = GatedNode()
    node.dispatch(dispatched(ref(node.capture())))
    await node.gate.pod_starts(described(sandbox="old"))
    assert await node.gate.container_starts(described(sandbox="old")) is None
    node.look = failed
    if not unseen:
        await node.gate.synchronize((described(sandbox="new"),))
    assert await node.gate.container_starts(described(sandbox="new"))


async def test_what_an_earlier_agent_found_lets_nothing_start() -> None:
    """It may have been in another sandbox."""
    before = GatedNode()
    before.dispatch(dispatched(ref(before.capture())))
    await before.gate.pod_starts(described(sandbox="old"))
    node = GatedNode(look=failed, kept=before.checkpoint())
    node.dispatch(dispatched(ref(node.capture())))
    assert node.finding() == Finding(PodState.PROGRAMMED)
    await node.gate.synchronize((described(sandbox="new"),))
    assert await node.gate.container_starts(described(sandbox="new"))


@pytest.mark.parametrize("first", ["new", "old"])
async def test_a_stopped_sandbox_is_not_that_of_its_pod(first: str) -> None:
    """The runtime lists it for a while, in whichever order, and removes it later."""
    node = GatedNode()
    node.capture()
    stopped, live = described(sandbox="old", pid=0), described(sandbox="new")
    listed = (stopped, live) if first == "old" else (live, stopped)
    await node.gate.synchronize(listed)
    assert node.told == ["new"]
    await node.gate.pod_removed(stopped)
    assert node.gone == []
    assert node.loop.known(POD_UID) is not None


async def test_of_sandboxes_without_processes_the_known_one_stays() -> None:
    """Nothing else tells which one it is."""
    node = GatedNode()
    node.capture()
    live = described(sandbox="new", pid=0)
    await node.gate.pod_starts(live)
    await node.gate.synchronize((live, described(sandbox="old", pid=0)))
    assert node.told == ["new"]
    assert node.gone == []


async def test_a_sandbox_that_was_replaced_unseen_is_let_go() -> None:
    """Just that: what is held of it would keep its network namespace."""
    node = GatedNode()
    node.capture()
    await node.gate.pod_starts(described(sandbox="old"))
    await node.gate.synchronize((described(sandbox="new"),))
    assert node.gone == ["old"]
    assert node.told == ["old", f"-{POD_UID}", "new"]


@pytest.mark.parametrize(("name", "is_mirror"), [("web", True), ("forged", False)])
async def test_only_its_own_mirror_speaks_for_a_static_pod(name: str, *, is_mirror: bool) -> None:
    """Anybody's pod can say that it were the mirror of this one, but not under its name."""
    node = GatedNode(failed)
    mirror = replace(dispatched(ref(), uid="mirror"), static_pod_uid=POD_UID, name=name)
    node.dispatch(mirror)
    await node.gate.pod_starts(described())
    refusal = await node.gate.container_starts(described())
    assert (refusal is not None) is is_mirror


async def test_a_static_pod_whose_mirror_comes_during_the_look_is_guarded() -> None:
    """The mirror takes over what was known of it, and that look is none at the mirror."""
    node = GatedNode(look=failed)
    spec = node.capture()
    await node.gate.pod_starts(described())
    node.pause, node.looked = asyncio.Event(), asyncio.Event()
    answer = asyncio.create_task(node.gate.container_starts(described()))
    await node.looked.wait()
    mirror = replace(dispatched(ref(spec), uid="mirror"), static_pod_uid=POD_UID, name="web")
    node.dispatch(mirror)
    node.pause.set()
    assert await answer
