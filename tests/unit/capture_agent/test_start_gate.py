"""What is answered when the runtime asks whether a pod may start."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from capture_agent.candidates import Candidates
from capture_agent.looks import Timing
from capture_agent.pod_loop import PodLoop
from capture_agent.records import Finding, PodRecord
from capture_agent.start_gate import StartGate
from capture_api.capture_programs import CaptureProgram, CaptureProgramSpec
from capture_api.captures import FailurePolicy, Mode
from capture_api.meta import ObjectMeta
from capture_api.node_captures import (
    START_REFUSED,
    AgentInfo,
    Captured,
    DispatchedPod,
    NodeCapture,
    NodeCaptureSpec,
    NodeCaptureStatus,
    PodState,
)
from capture_api.selection import LabelSelector
from capture_api.wire import encode
from capture_nri.pod_sandboxes import PodSandbox
from unit.capture_agent.captures import POD_UID, dispatched, program_spec, ref

APP = {"app": "web"}
SELECTS_APP = LabelSelector(match_labels=APP)
CRI = {"io.kubernetes.pod.name": "web", "io.kubernetes.pod.uid": POD_UID}


def described(
    uid: str = POD_UID, *, sandbox: str = "s1", namespace: str = "demo", netns: str | None = "/n"
) -> PodSandbox:
    """Describe a pod with the label that the capture selects."""
    return PodSandbox(
        id=sandbox, uid=uid, namespace=namespace, name="web", labels=CRI | APP, annotations={},
        runtime_handler="", netns_path=netns, pid=7, ips=("10.9.8.7",),
    )  # fmt: skip


def stored(spec: CaptureProgramSpec, namespace: str = "demo") -> CaptureProgram:
    """Keep a CaptureProgram."""
    meta = ObjectMeta(name="web", uid="p", namespace=namespace)
    return CaptureProgram(metadata=meta, spec=encode(spec))


def programmed(record: PodRecord) -> PodRecord:
    """Find a pod as it should be, captured in time."""
    found = Finding(PodState.PROGRAMMED)
    return replace(record, finding=found, captured=Captured.BEFORE_FIRST_CONTAINER)


def failed(record: PodRecord) -> PodRecord:
    """Find that a pod can't be captured."""
    return replace(record, finding=Finding(PodState.FAILED, "ChainConflict", "chain X exists"))


@dataclass
class Node:
    """A gate over a loop whose looks find what they are told to."""

    look: Callable[[PodRecord], PodRecord] = programmed
    hangs: bool = False
    looks: list[PodRecord] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    connections: list[bool] = field(default_factory=list)
    programs: dict[tuple[str, str], CaptureProgram] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Wire it."""
        timing = Timing(lambda: 0.0, lambda: 1.0, 5.0)
        self.loop = PodLoop(self.examine, lambda: None, timing, AgentInfo(ready=True))
        self.candidates = Candidates(self.programs)
        self.gate = StartGate(
            loop=self.loop,
            finder=self,
            candidates=self.candidates,
            never_refused=frozenset({"kube-system"}),
            closed=self.gone.append,
            told=self.connection,
        )

    def capture(self, namespace: str = "demo", /, **changes: object) -> CaptureProgramSpec:
        """Let a capture select the label."""
        spec = program_spec(**{"selector": SELECTS_APP, **changes})  # type: ignore[arg-type]
        self.programs[namespace, "web"] = stored(spec, namespace)
        self.gate.program_changed(namespace, "web")
        return spec

    def dispatch(self, *pods: DispatchedPod) -> None:
        """Let the operator decide."""
        spec = NodeCaptureSpec(pods=pods)
        metadata = ObjectMeta(name="node", uid="n", generation=1)
        self.loop.dispatch(NodeCapture(metadata, spec, NodeCaptureStatus()))

    async def examine(self, record: PodRecord) -> PodRecord:
        """Look at a pod."""
        self.looks.append(record)
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        return self.look(record)

    def tell(self, sandbox: PodSandbox) -> None:
        """Take note of a sandbox."""
        self.told.append(sandbox.id)

    def ended(self, pod_uid: str) -> None:
        """Forget one."""
        self.told.append(f"-{pod_uid}")

    def connection(self, *, connected: bool, runtime: str, version: str) -> None:
        """Hear of the runtime."""
        del runtime, version
        self.connections.append(connected)

    def finding(self, uid: str = POD_UID) -> Finding | None:
        """What is known of a pod."""
        record = self.loop.known(uid)
        return record.finding if record else None


async def test_a_pod_that_nothing_selects_starts_without_a_look() -> None:
    """Other namespaces' captures, and labels that the kubelet adds, select nothing."""
    node = Node()
    node.capture("other")
    node.capture(selector=LabelSelector(match_labels={"io.kubernetes.pod.name": "web"}))
    await node.gate.pod_starts(described())
    assert node.looks == []


async def test_a_selected_pod_is_captured_before_it_is_dispatched() -> None:
    """The look knows that the runtime waits, and with which program."""
    node = Node()
    spec = node.capture()
    await node.gate.pod_starts(described())
    (look,) = node.looks
    assert (look.is_starting, look.is_provisional) == (True, True)
    assert (look.pod.program, look.pod.pod_ips) == (ref(spec), ("10.9.8.7",))
    assert node.told == ["s1"]


async def test_what_was_dispatched_counts_more() -> None:
    """The operator knows better which capture has the pod."""
    node = Node()
    node.capture()
    node.dispatch(dispatched(None))
    await node.gate.pod_starts(described())
    assert node.looks == []


async def test_a_pod_that_cannot_be_captured_does_not_start() -> None:
    """Its Event says which capture, and why; so does the status."""
    node = Node(failed)
    node.capture()
    await node.gate.pod_starts(described())
    refusal = await node.gate.container_starts(described())
    assert refusal == (
        "TrafficCapture demo/web can't capture this pod: ChainConflict: chain X exists"
    )
    assert node.finding() == Finding(PodState.FAILED, START_REFUSED, refusal)


async def test_a_refused_pod_starts_once_the_cause_is_gone() -> None:
    """The kubelet tries again, in the same sandbox; nothing ran in it, so it is in time."""
    node = Node(failed)
    node.capture()
    await node.gate.pod_starts(described())
    assert await node.gate.container_starts(described())
    node.look = programmed
    node.looks.clear()
    assert await node.gate.container_starts(described()) is None
    assert [look.is_starting for look in node.looks] == [True]
    record = node.loop.known(POD_UID)
    assert record is not None
    assert not record.is_starting


async def test_what_a_sandbox_has_had_is_not_said_of_the_next() -> None:
    """The same pod, another sandbox: it has no container yet."""
    node = Node()
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
    node = Node(failed)
    node.capture(**changes)
    await node.gate.pod_starts(described())
    assert await node.gate.container_starts(described()) is None
    assert node.finding() == Finding(PodState.FAILED, "ChainConflict", "chain X exists")


async def test_pods_that_the_cluster_needs_always_start() -> None:
    """Captured if that can be, and started if not."""
    node = Node(failed)
    node.capture("kube-system")
    await node.gate.pod_starts(described(namespace="kube-system"))
    assert len(node.looks) == 1
    assert await node.gate.container_starts(described(namespace="kube-system")) is None


async def test_a_pod_on_the_nodes_network_starts() -> None:
    """There is no namespace of its own to look at."""
    node = Node(failed)
    node.capture()
    await node.gate.pod_starts(described(netns=None))
    assert await node.gate.container_starts(described(netns=None)) is None
    assert node.looks == []


async def test_a_pod_dispatched_to_an_unknown_program_waits() -> None:
    """It has not reached this node; started now, it would be uncaptured."""
    node = Node(failed)
    node.dispatch(dispatched(ref()))
    await node.gate.pod_starts(described())
    assert "demo/web" in (await node.gate.container_starts(described()) or "")


async def test_what_took_too_long_is_answered_by_policy() -> None:
    """The runtime does not wait for ever."""
    node = Node()
    assert node.gate.undecided(described()) is None
    node.capture()
    assert "in time" in (node.gate.undecided(described()) or "")
    node.capture(failure_policy=FailurePolicy.IGNORE)
    assert node.gate.undecided(described()) is None


async def test_a_container_of_a_pod_captured_in_time_is_no_matter() -> None:
    """Nor one of a pod that nothing captures."""
    node = Node()
    node.capture()
    await node.gate.pod_starts(described())
    await node.gate.pod_starts(described("other", namespace="free"))
    node.looks.clear()
    assert await node.gate.container_starts(described()) is None
    assert await node.gate.container_starts(described("other", namespace="free")) is None
    assert node.looks == []


async def test_a_sandbox_that_started_unseen_is_captured_before_a_container() -> None:
    """The agent was away; whether it is the first container is not known."""
    node = Node()
    node.capture()
    assert await node.gate.container_starts(described()) is None
    assert [look.is_starting for look in node.looks] == [False]
    node.look = failed
    assert await node.gate.container_starts(described(sandbox="s2"))


async def test_sandboxes_that_were_there_before_are_looked_at_soon() -> None:
    """They run already: nobody waits for the looks."""
    node = Node()
    node.capture()
    await node.gate.synchronize((described(), described("b"), described("c", namespace="free")))
    assert node.looks == []
    task = asyncio.create_task(node.loop.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    task.cancel()
    assert {look.pod.uid for look in node.looks} == {POD_UID, "b"}


async def test_sandboxes_that_ended_unseen_are_let_go() -> None:
    """The runtime does not list them any more."""
    node = Node()
    node.capture()
    await node.gate.pod_starts(described())
    await node.gate.synchronize(())
    assert node.gone == [POD_UID]
    assert node.loop.known(POD_UID) is None


async def test_the_end_of_an_old_sandbox_is_not_that_of_the_new_one() -> None:
    """A pod gets a new sandbox before the old one is removed."""
    node = Node()
    node.capture()
    await node.gate.pod_starts(described(sandbox="old"))
    await node.gate.pod_starts(described(sandbox="new"))
    await node.gate.pod_removed(described(sandbox="old"))
    assert node.gone == []
    await node.gate.pod_stopped(described(sandbox="new"))
    await node.gate.pod_removed(described(sandbox="new"))
    assert node.gone == [POD_UID]


async def test_a_capture_that_is_withdrawn_lets_go_of_undispatched_pods() -> None:
    """The look that follows takes the rules out."""
    node = Node()
    node.capture()
    await node.gate.pod_starts(described())
    node.capture(withdrawn=True)
    record = node.loop.known(POD_UID)
    assert record is not None
    assert record.pod.program is None


async def test_the_connection_is_told() -> None:
    """For the status."""
    node = Node()
    node.gate.connected("containerd", "2.2.1")
    node.gate.disconnected("it ended")
    assert node.connections == [True, False]


async def test_a_container_that_was_let_through_undecided_ends_the_start() -> None:
    """Whatever comes into the pod from now on is late."""
    node = Node(hangs=True)
    node.capture(failure_policy=FailurePolicy.IGNORE)
    for starts in (node.gate.pod_starts, node.gate.container_starts):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(starts(described()), 0.001)
        record = node.loop.known(POD_UID)
        assert record is not None
        assert record.is_starting
    assert node.gate.undecided(described()) is None
    record = node.loop.known(POD_UID)
    assert record is not None
    assert not record.is_starting


@pytest.mark.parametrize(("name", "is_mirror"), [("web", True), ("forged", False)])
async def test_only_its_own_mirror_speaks_for_a_static_pod(name: str, *, is_mirror: bool) -> None:
    """Anybody's pod can say that it were the mirror of this one, but not under its name."""
    node = Node(failed)
    mirror = replace(dispatched(ref(), uid="mirror"), static_pod_uid=POD_UID, name=name)
    node.dispatch(mirror)
    await node.gate.pod_starts(described())
    refusal = await node.gate.container_starts(described())
    assert (refusal is not None) is is_mirror
