"""The loop looks at each pod when it is due; time in these tests is virtual."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from capture_agent.checkpoints import Checkpoint, checkpoint_of
from capture_agent.looks import SOON, Timing
from capture_agent.pod_loop import PodLoop
from capture_agent.records import Finding, PodRecord
from capture_api.meta import ObjectMeta
from capture_api.node_captures import (
    AgentInfo,
    Captured,
    DispatchedPod,
    NetnsIdentity,
    NodeCapture,
    NodeCaptureSpec,
    NodeCaptureStatus,
    PastDrift,
    PodEvidence,
    PodState,
)
from unit.capture_agent import virtual_time
from unit.capture_agent.captures import (
    CAPTURE_UID,
    OTHER_CAPTURE_UID,
    dispatched,
    program_spec,
    ref,
)

INTERVAL = 5.0
NETNS = NetnsIdentity(device=4, inode=4026532001)
IN_TIME = Captured.BEFORE_FIRST_CONTAINER
HELD = ref()
OTHER = ref(program_spec(capture_uid=OTHER_CAPTURE_UID), name="other")


def pod(uid: str = "a", *, captured: bool = True, host_network: bool = False) -> DispatchedPod:
    """Dispatch a pod, to a program or to none."""
    return dispatched(HELD if captured else None, uid, host_network=host_network)


def node_capture(
    generation: int,
    *pods: DispatchedPod,
    uid: str = "ncap",
    status: NodeCaptureStatus | None = None,
) -> NodeCapture:
    """Tell the node what the operator dispatched."""
    return NodeCapture(
        metadata=ObjectMeta(name="node", uid=uid, generation=generation),
        spec=NodeCaptureSpec(pods=pods),
        status=status or NodeCaptureStatus(),
    )


def programmed(record: PodRecord) -> PodRecord:
    """Find a pod as it should be."""
    uid = record.pod.program.capture_uid if record.pod.program else ""
    return replace(record, finding=Finding(PodState.PROGRAMMED), held_by=uid)


def with_drift(record: PodRecord) -> PodRecord:
    """Find drift that was repaired, each time."""
    return replace(programmed(record), detected=record.detected + 1, repaired=record.repaired + 1)


def finding(state: PodState) -> Callable[[PodRecord], PodRecord]:
    """Come to this conclusion about every pod."""
    return lambda record: replace(record, finding=Finding(state, "Why", "why"))


@dataclass
class Node:
    """A loop whose looks are written down, and take as long as they are told to."""

    look: Callable[[PodRecord], PodRecord] = programmed
    took: Callable[[PodRecord], float] = lambda _: 0.0
    jitter: float = 1.0
    kept: Checkpoint | None = None
    looks: list[tuple[str, float]] = field(default_factory=list)
    statuses: list[NodeCaptureStatus] = field(default_factory=list)

    loop: PodLoop = field(init=False)

    def start(self) -> None:
        """Begin with nothing dispatched."""
        timing = Timing(virtual_time.now, lambda: self.jitter, INTERVAL)
        self.loop = PodLoop(
            self.examine, self.note_status, timing, AgentInfo(ready=True), self.kept
        )

    def note_status(self) -> None:
        """Note what is said of the node."""
        self.statuses.append(self.loop.status)

    async def examine(self, record: PodRecord) -> PodRecord:
        """Look at a pod."""
        self.looks.append((record.pod.uid, virtual_time.now()))
        await asyncio.sleep(self.took(record))
        return self.look(record)

    @property
    def status(self) -> NodeCaptureStatus:
        """The newest status."""
        return self.statuses[-1]

    def times(self, uid: str) -> list[float]:
        """When a pod was looked at."""
        return [time for name, time in self.looks if name == uid]


class SlowNode(Node):
    """Has found what a look will say when that begins, and takes a second to say it."""

    async def examine(self, record: PodRecord) -> PodRecord:
        """Look at a pod."""
        found = await super().examine(record)
        await asyncio.sleep(1)
        return found


def play(node: Node, script: Callable[[Node], Awaitable[None]]) -> Node:
    """Run the loop while a script plays the rest of the world."""

    async def scenario() -> None:
        node.start()
        task = asyncio.create_task(node.loop.run())
        await script(node)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    virtual_time.run(scenario)
    return node


def test_a_dispatched_pod_is_looked_at_at_once_and_then_now_and_then() -> None:
    """The interval is stretched by the jitter."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod()))
        await asyncio.sleep(16)

    assert play(Node(jitter=1.2), script).times("a") == [0, 6, 12]


def test_a_new_program_makes_its_pods_due_at_once() -> None:
    """And only those of this name in this namespace."""

    async def script(node: Node) -> None:
        other = replace(pod("b"), program=OTHER)
        elsewhere = replace(pod("c"), namespace="elsewhere")
        node.loop.dispatch(node_capture(1, pod("a"), other, elsewhere, pod("d", captured=False)))
        await asyncio.sleep(1)
        node.loop.program_changed("demo", "web")
        await asyncio.sleep(1)

    node = play(Node(), script)
    assert node.times("a") == [0, 1]
    assert all(node.times(uid) == [0] for uid in "bcd")


def test_a_program_that_changes_during_a_look_makes_the_pod_due_right_after() -> None:
    """The look may have begun with the old one."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod()))
        await asyncio.sleep(0.1)
        node.loop.program_changed("demo", "web")
        await asyncio.sleep(0.5)

    assert play(Node(took=lambda _: 0.2), script).times("a") == [0, 0.2]


def test_what_is_dispatched_during_a_look_is_looked_at_right_after() -> None:
    """The generation counts as observed only then."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod()))
        await asyncio.sleep(0.1)
        node.loop.dispatch(node_capture(2, pod(captured=False)))
        await asyncio.sleep(0.15)
        assert node.status.observed_generation < 2
        await asyncio.sleep(0.5)
        assert node.status.observed_generation == 2

    assert play(Node(took=lambda _: 0.2), script).times("a") == [0, 0.2]


def test_a_generation_is_observed_when_the_last_pod_was_looked_at() -> None:
    """Not before, and whatever came of it."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(7, pod("a"), pod("b")))
        assert node.status.observed_generation == 0
        await asyncio.sleep(1.5)
        assert node.status.observed_generation == 0
        await asyncio.sleep(1)
        assert node.status.observed_generation == 7

    node = Node(finding(PodState.FAILED), took=lambda each: 1.0 if each.pod.uid == "a" else 2.0)
    play(node, script)


def test_the_observed_generation_never_goes_back() -> None:
    """A dispatch that changes nothing for a pod is observed by it, also in the middle of a look."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod("a")))
        await asyncio.sleep(5.1)
        node.loop.dispatch(node_capture(2, pod("a")))
        await asyncio.sleep(0.2)
        node.loop.dispatch(node_capture(3, pod("a"), pod("b")))
        await asyncio.sleep(5)

    node = play(Node(took=lambda _: 0.2), script)
    observed = [status.observed_generation for status in node.statuses]
    assert observed == sorted(observed)
    assert observed[-1] == 3


def test_nothing_is_observed_of_a_node_capture_that_is_new() -> None:
    """The generation of the one before was higher; it says nothing about this one's."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(9, pod("a"), pod("b")))
        await asyncio.sleep(1)
        node.loop.dispatch(node_capture(1, pod("a"), pod("b", captured=False), uid="new"))
        assert node.status.observed_generation == 0
        await asyncio.sleep(1)
        assert node.status.observed_generation == 1

    node = play(Node(), script)
    assert (node.times("a"), node.times("b")) == ([0, 1], [0, 1])


def test_a_change_of_status_alone_is_no_dispatch() -> None:
    """The agent causes them itself."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod()))
        await asyncio.sleep(1)
        published = len(node.statuses)
        node.loop.dispatch(node_capture(1, pod(), status=node.status))
        assert len(node.statuses) == published

    assert play(Node(), script).times("a") == [0]


def test_what_is_awaited_is_looked_for_soon_and_ever_less_often() -> None:
    """Up to the interval; and soon again once the dispatch changes."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod()))
        await asyncio.sleep(20)
        node.loop.dispatch(node_capture(2, replace(pod(), pod_ips=("10.0.0.9",))))
        await asyncio.sleep(2 * SOON)

    times = play(Node(finding(PodState.PENDING)), script).times("a")
    assert times == [0, 0.25, 0.75, 1.75, 3.75, 7.75, 12.75, 17.75, 20, 20.25]


def test_a_pod_on_the_host_network_is_looked_at_once() -> None:
    """Its spec can't change."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod(host_network=True)))
        await asyncio.sleep(100)

    assert play(Node(finding(PodState.NOT_APPLICABLE)), script).times("a") == [0]


def test_a_pod_that_was_merely_found_on_the_host_network_is_looked_at_again() -> None:
    """It may have been a moment in its start."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod()))
        await asyncio.sleep(12)

    assert play(Node(finding(PodState.NOT_APPLICABLE)), script).times("a") == [0, 5, 10]


def test_a_pod_that_was_freed_is_looked_at_again_when_it_is_captured() -> None:
    """And not before."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod(captured=False)))
        await asyncio.sleep(100)
        node.loop.dispatch(node_capture(2, pod()))
        await asyncio.sleep(1)

    assert play(Node(), script).times("a") == [0, 100]


def test_a_pod_that_could_not_be_freed_is_tried_again() -> None:
    """Until nothing of ours is in it."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod(captured=False)))
        await asyncio.sleep(2)

    assert play(Node(finding(PodState.FAILED)), script).times("a") == [0, 0.25, 0.75, 1.75]


def test_a_pod_that_takes_long_leaves_the_others_their_turns() -> None:
    """It gets a tenth of the loop's time."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod("slow"), pod("a")))
        await asyncio.sleep(299)

    node = play(Node(took=lambda record: 10.0 if record.pod.uid == "slow" else 0.0), script)
    assert node.times("slow") == [0, 100, 200]
    gaps = [
        later - earlier
        for earlier, later in zip(node.times("a"), node.times("a")[1:], strict=False)
    ]
    assert max(gaps) <= INTERVAL, "they are looked at side by side"


def test_pods_that_are_due_take_turns() -> None:
    """One that is always due at once does not starve another."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod("a"), replace(pod("b"), program=OTHER)))
        for _ in range(20):
            node.loop.program_changed("demo", "web")
            await asyncio.sleep(0.5)

    node = play(Node(took=lambda _: 1.0), script)
    assert node.times("b")[0] <= 2


def test_a_pod_that_is_no_longer_listed_is_left_alone_and_its_drift_kept() -> None:
    """Nothing is taken away from it; the counts of its capture do not fall."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod("a"), pod("b")))
        await asyncio.sleep(7)
        node.loop.dispatch(node_capture(2, pod("b")))
        await asyncio.sleep(1)

    node = play(Node(with_drift), script)
    assert node.times("a") == [0, 5]
    assert [evidence.uid for evidence in node.status.pods] == ["b"]
    assert node.status.past_drift == (PastDrift(capture_uid=CAPTURE_UID, detected=2, repaired=2),)
    assert node.status.observed_generation == 2


def total_detected(status: NodeCaptureStatus, capture_uid: str) -> int:
    """Add up what the operator adds up."""
    return sum(
        evidence.drift_detected for evidence in status.pods if evidence.capture_uid == capture_uid
    ) + sum(past.detected for past in status.past_drift if past.capture_uid == capture_uid)


def test_drift_is_not_counted_twice_when_a_pod_is_listed_again() -> None:
    """Though the status that is stored still tells of it, and it left in the middle of a look."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod()))
        await asyncio.sleep(1)
        stored = node.status
        assert total_detected(stored, CAPTURE_UID) == 1
        await asyncio.sleep(4.6)
        assert node.times("a") == [0, 5.5], "it is being looked at"
        node.look = programmed
        node.loop.dispatch(node_capture(2))
        node.loop.dispatch(node_capture(3, pod(), status=stored))
        await asyncio.sleep(2)

    node = play(Node(with_drift, took=lambda _: 0.2), script)
    assert total_detected(node.status, CAPTURE_UID) == 1
    assert node.status.observed_generation == 3


def test_the_counts_of_a_capture_do_not_go_over_to_the_next_one() -> None:
    """They stay with the one whose rules were tampered with, also when the pod is freed."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod()))
        await asyncio.sleep(1)
        node.look = programmed
        node.loop.dispatch(node_capture(2, replace(pod(), program=OTHER)))
        await asyncio.sleep(1)
        assert total_detected(node.status, OTHER_CAPTURE_UID) == 0
        node.loop.dispatch(node_capture(3, pod(captured=False)))
        await asyncio.sleep(1)

    node = play(Node(with_drift), script)
    assert node.status.pods == ()
    assert total_detected(node.status, CAPTURE_UID) == 1


def reported(uid: str) -> PodEvidence:
    """Make the evidence of an earlier agent."""
    return PodEvidence(
        uid=uid,
        namespace="demo",
        name=f"web-{uid}",
        state=PodState.PROGRAMMED,
        capture_uid=CAPTURE_UID,
        hash="h",
        drift_detected=5,
        drift_repaired=4,
    )


def test_a_new_agent_goes_on_where_the_last_one_left_off() -> None:
    """Counts go on, also those of pods that went while nobody was there; every pod is examined."""

    async def script(node: Node) -> None:
        past = (PastDrift(capture_uid=CAPTURE_UID, detected=1, repaired=1),)
        status = NodeCaptureStatus(
            observed_generation=8, pods=(reported("a"), reported("gone")), past_drift=past
        )
        node.loop.dispatch(node_capture(8, pod("a"), status=status))
        assert node.status.observed_generation == 0, "of this agent's own knowledge"
        assert node.status.pods[0].hash == "h"
        await asyncio.sleep(1)

    node = play(Node(with_drift), script)
    assert node.times("a") == [0]
    assert total_detected(node.status, CAPTURE_UID) == 5 + 5 + 1 + 1
    assert node.status.observed_generation == 8


def test_the_loop_says_when_it_is_stuck_in_a_look() -> None:
    """The longest look that is going on counts, not the others beside it."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod("a"), pod("b")))
        await asyncio.sleep(50)
        assert node.loop.longest_look == 50
        await asyncio.sleep(60)
        assert node.loop.longest_look == 0

    play(Node(took=lambda record: 100.0 if record.pod.uid == "a" else 0.1), script)


def kept_by(node: Node) -> Checkpoint:
    """Take down what a loop knows."""
    return checkpoint_of(node.loop.records, node.loop.past_drift, {})


async def dispatched_and_looked_at(node: Node) -> None:
    """Have a captured pod and one that nothing captures."""
    node.loop.dispatch(node_capture(3, pod("a"), pod("b", captured=False)))
    await asyncio.sleep(1)


def test_without_a_dispatch_the_loop_goes_on_from_what_was_kept() -> None:
    """Pods that are to be captured are looked at; nothing is taken out of the others."""
    before = play(Node(look=with_drift), dispatched_and_looked_at)

    async def script(node: Node) -> None:
        node.loop.go_on()
        await asyncio.sleep(1)
        assert [uid for uid, _ in node.looks] == ["a"]
        assert {status.observed_generation for status in node.statuses} == {0}
        assert [(found.uid, found.drift_detected) for found in node.status.pods] == [("a", 2)]

    play(Node(look=with_drift, kept=kept_by(before)), script)


def test_what_is_dispatched_later_counts_from_then_on() -> None:
    """Every pod is looked at under it, also if it is what was dispatched to the agent before."""
    before = play(Node(look=with_drift), dispatched_and_looked_at)

    async def script(node: Node) -> None:
        node.loop.go_on()
        await asyncio.sleep(1)
        await dispatched_and_looked_at(node)
        assert [uid for uid, _ in node.looks] == ["a", "a", "b"]
        assert node.status.observed_generation == 3
        node.loop.go_on()
        assert node.status.observed_generation == 3
        node.loop.dispatch(node_capture(4, pod("b", captured=False)))
        assert node.status.past_drift == (
            PastDrift(capture_uid=CAPTURE_UID, detected=3, repaired=3),
        )

    play(Node(look=with_drift, kept=kept_by(before)), script)


def test_evidence_that_was_kept_is_gone_on_from_unless_what_was_reported_is_younger() -> None:
    """A NodeCapture whose status was lost loses no count, nor does an agent whose file was."""
    before = play(Node(look=with_drift), dispatched_and_looked_at)
    reported = NodeCaptureStatus(
        pods=(PodEvidence(uid="a", namespace="demo", name="a", state=PodState.PROGRAMMED),)
    )

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(3, pod("a"), status=reported))
        await asyncio.sleep(1)

    kept = play(Node(look=with_drift, kept=kept_by(before)), script)
    assert kept.status.pods[0].drift_detected == 2
    younger = replace(reported.pods[0], drift_detected=7)
    reported = NodeCaptureStatus(pods=(younger,))
    kept = play(Node(look=with_drift, kept=kept_by(before)), script)
    assert kept.status.pods[0].drift_detected == 8


def test_what_was_kept_is_known_until_it_is_taken_over() -> None:
    """Who writes down what is known before the first dispatch must not lose it."""
    before = kept_by(play(Node(look=with_drift), dispatched_and_looked_at))

    async def script(node: Node) -> None:
        assert node.loop.kept == before
        node.loop.dispatch(node_capture(3, pod("a")))
        assert node.loop.kept is None

    play(Node(kept=before), script)


def test_a_starting_pod_is_looked_at_before_it_is_dispatched() -> None:
    """The dispatch then takes it over with what was found, and it counts as not looked at."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(4))
        node.loop.begins("a")
        await node.loop.look_now(pod("a"))
        found = node.loop.known("a")
        assert found is not None
        assert (found.finding.state, found.is_provisional) == (PodState.PROGRAMMED, True)
        assert (node.status.observed_generation, len(node.status.pods)) == (4, 1)
        node.loop.dispatch(node_capture(5, pod("a")))
        assert node.status.observed_generation == 4
        await asyncio.sleep(0.1)
        assert node.status.observed_generation == 5

    assert play(Node(), script).times("a") == [0, 0]


def test_a_starting_pod_outlives_dispatches_that_do_not_list_it_yet() -> None:
    """They are older than the pod; it is kept up until its sandbox is gone."""

    async def script(node: Node) -> None:
        node.loop.begins("a")
        await node.loop.look_now(pod("a"))
        node.loop.dispatch(node_capture(1, pod("b")))
        await asyncio.sleep(6)
        assert len(node.status.pods) == 2
        node.loop.ended("a")
        node.loop.ended("b")
        assert [each.uid for each in node.status.pods] == ["b"]
        await asyncio.sleep(20)

    assert play(Node(), script).times("a") == [0, 5]


def in_a_sandbox(record: PodRecord) -> PodRecord:
    """Find a pod captured in time, with drift."""
    return replace(with_drift(record), held_hash="h", held_in=NETNS, captured=IN_TIME)


def test_nothing_is_believed_of_a_sandbox_that_is_gone() -> None:
    """The next one may have its inode number; what was counted in the pod stays counted."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, replace(pod("a"), static_pod_uid="hash")))
        await asyncio.sleep(1)
        node.look = lambda record: record
        node.loop.ended("hash")
        await asyncio.sleep(1)
        (evidence,) = node.status.pods
        assert (evidence.netns, evidence.hash, evidence.captured) == (None, "", None)
        assert (evidence.drift_detected, evidence.capture_uid) == (1, CAPTURE_UID)

    assert play(Node(look=in_a_sandbox), script).times("a") == [0, 1]


def test_what_a_look_finds_in_a_sandbox_that_ends_meanwhile_is_not_believed() -> None:
    """Neither when its end was heard, nor when the next one starts."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod("a"), pod("b")))
        await asyncio.sleep(0.5)
        node.look = programmed
        node.loop.ended("a")
        node.loop.begins("b")
        await node.loop.look_now(pod("b"))
        await asyncio.sleep(1)
        assert [each.netns for each in node.status.pods] == [None, None]

    play(SlowNode(look=in_a_sandbox), script)


def test_a_pod_whose_sandbox_starts_during_a_look_is_looked_at_again() -> None:
    """Also one that nothing captures any more, whose start asks for no look."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod("a", captured=False)))
        await asyncio.sleep(0.5)
        node.loop.begins("a")
        await asyncio.sleep(10)

    assert play(SlowNode(), script).times("a") == [0, 10]


def test_a_sandbox_that_starts_begins_with_nothing() -> None:
    """Nobody may have told that the one before it ended."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod("a")))
        await asyncio.sleep(1)
        node.look = programmed
        node.loop.begins("a")
        await node.loop.look_now(pod("a"))
        found = node.loop.known("a")
        assert found is not None
        assert (found.held_in, found.captured) == (None, None)

    play(Node(look=in_a_sandbox), script)


def test_a_starting_pod_has_what_the_dispatch_says() -> None:
    """The operator's decision counts, not the agent's own."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod("a", captured=False)))
        node.loop.begins("a")
        await node.loop.look_now(pod("a"))
        found = node.loop.known("a")
        assert found is not None
        assert found.pod.program is None

    play(Node(), script)


def test_two_looks_never_meet_in_a_pod() -> None:
    """A start waits for the look at a pod that was dropped, and is what its return asked for."""
    looking: list[str] = []

    class Watched(Node):
        async def examine(self, record: PodRecord) -> PodRecord:
            assert looking.count(record.pod.uid) == 0
            looking.append(record.pod.uid)
            await asyncio.sleep(1)
            looking.remove(record.pod.uid)
            return await super().examine(record)

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod("a")))
        await asyncio.sleep(0.5)
        node.loop.dispatch(node_capture(2))
        node.loop.dispatch(node_capture(3, pod("a")))
        node.loop.begins("a")
        await node.loop.look_now(pod("a"))
        await asyncio.sleep(1)

    assert play(Watched(), script).times("a") == [1, 2]


def test_a_pod_that_changed_is_looked_at_at_once() -> None:
    """And one that nobody knows is not."""

    async def script(node: Node) -> None:
        node.loop.dispatch(node_capture(1, pod("a")))
        await asyncio.sleep(2)
        node.loop.look_again("a")
        node.loop.look_again("unknown")
        await asyncio.sleep(1)

    assert play(Node(), script).times("a") == [0, 2]


def test_a_static_pod_that_changed_is_looked_at_at_once() -> None:
    """Its sandbox goes by the UID that the kubelet gave it, its record by that of its mirror."""

    async def script(node: Node) -> None:
        mirror = replace(pod("mirror"), static_pod_uid="hash")
        node.loop.dispatch(node_capture(1, mirror, pod("other")))
        await asyncio.sleep(2)
        node.loop.look_again("hash")
        await asyncio.sleep(1)

    node = play(Node(), script)
    assert (node.times("mirror"), node.times("other")) == ([0, 2], [0])


class Starts(Node):
    """Notes which looks knew that the pod had no container."""

    def start(self) -> None:
        """Begin with nothing dispatched."""
        self.knew: list[bool] = []
        super().start()

    async def examine(self, record: PodRecord) -> PodRecord:
        """Look at a pod."""
        self.knew.append(record.is_starting)
        return await super().examine(record)


@pytest.mark.parametrize("uid", ["a", "hash"])
def test_looks_know_whether_the_pod_has_a_container(uid: str) -> None:
    """Whoever asks for them; a static pod goes by either UID. After the start one comes soon."""

    async def script(node: Node) -> None:
        node.loop.begins(uid)
        node.loop.dispatch(node_capture(1, replace(pod("a"), static_pod_uid="hash")))
        await asyncio.sleep(1)
        assert not any(record.is_starting for record in kept_by(node).records)
        node.loop.started(uid)
        node.loop.started(uid)
        await asyncio.sleep(1)

    node = Starts()
    assert play(node, script).times("a") == [0, 1 + SOON]
    assert node.knew == [True, False]


def test_a_sandbox_that_ended_starts_no_more() -> None:
    """The next one may have had a container before anybody told of it."""

    async def script(node: Node) -> None:
        node.loop.begins("a")
        node.loop.ended("a")
        await node.loop.look_now(pod("a"))

    node = Starts()
    play(node, script)
    assert node.knew == [False]


def test_a_static_pod_is_taken_over_by_its_mirror_and_by_nobody_else() -> None:
    """The mirror has its name; a pod that only says so is looked at as any other."""

    async def script(node: Node) -> None:
        node.loop.begins("hash")
        await node.loop.look_now(pod("hash"))
        forged = replace(pod("forged"), static_pod_uid="hash")
        node.loop.dispatch(node_capture(1, forged))
        assert node.loop.known("hash") is not None
        own = replace(pod("mirror"), static_pod_uid="hash", name=pod("hash").name)
        node.loop.dispatch(node_capture(2, forged, own))
        assert node.loop.known("hash") is None
        taken_over = node.loop.known("mirror")
        assert taken_over is not None
        assert taken_over.finding.state is PodState.PROGRAMMED

    play(Node(), script)
