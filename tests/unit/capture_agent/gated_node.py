"""A start gate over a loop whose looks find what they are told to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from msgspec.structs import replace

from capture_agent.candidates import Candidates
from capture_agent.checkpoints import Checkpoint, checkpoint_of
from capture_agent.looks import Timing
from capture_agent.pod_loop import PodLoop
from capture_agent.records import Finding, PodRecord
from capture_agent.start_gate import StartGate
from capture_agent.told_sandboxes import ToldSandboxes
from capture_api.capture_programs import CaptureProgram, CaptureProgramSpec
from capture_api.meta import ObjectMeta
from capture_api.node_captures import (
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
from unit.capture_agent.captures import POD_UID, SANDBOX, program_spec

APP = {"app": "web"}
SELECTS_APP = LabelSelector(match_labels=APP)
IN_TIME = Captured.BEFORE_FIRST_CONTAINER
CRI = {"io.kubernetes.pod.name": "web", "io.kubernetes.pod.uid": POD_UID}


def described(
    uid: str = POD_UID,
    *,
    sandbox: str = "s1",
    namespace: str = "demo",
    netns: str | None = "/n",
    pid: int = 7,
) -> PodSandbox:
    """Describe a pod with the label that the capture selects."""
    return PodSandbox(
        id=sandbox, uid=uid, namespace=namespace, name="web", labels=CRI | APP, annotations={},
        runtime_handler="", netns_path=netns, pid=pid, ips=("10.9.8.7",),
    )  # fmt: skip


def stored(spec: CaptureProgramSpec, namespace: str = "demo") -> CaptureProgram:
    """Keep a CaptureProgram."""
    meta = ObjectMeta(name="web", uid="p", namespace=namespace)
    return CaptureProgram(metadata=meta, spec=encode(spec))


def programmed(record: PodRecord) -> PodRecord:
    """Find a pod as it should be, in time or not."""
    return replace(
        record,
        finding=Finding(PodState.PROGRAMMED),
        held_hash=record.pod.program.hash if record.pod.program else "",
        held_in=SANDBOX.netns,
        captured=record.captured or (IN_TIME if record.is_starting else Captured.LATE),
    )


def failed(record: PodRecord) -> PodRecord:
    """Find that a pod can't be captured."""
    return replace(record, finding=Finding(PodState.FAILED, "ChainConflict", "chain X exists"))


@dataclass
class GatedNode:
    """A gate over a loop whose looks find what they are told to."""

    look: Callable[[PodRecord], PodRecord] = programmed
    hangs: bool = False
    pause: asyncio.Event | None = None
    """What each look waits for."""
    looked: asyncio.Event = field(default_factory=asyncio.Event)
    kept: Checkpoint | None = None
    looks: list[PodRecord] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    connections: list[bool] = field(default_factory=list)
    programs: dict[tuple[str, str], CaptureProgram] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Wire it."""
        timing = Timing(lambda: 0.0, lambda: 1.0, 5.0)
        self.loop = PodLoop(self.examine, lambda: None, timing, AgentInfo(ready=True), self.kept)
        self.candidates = Candidates(self.programs)
        self.gate = StartGate(
            loop=self.loop,
            sandboxes=ToldSandboxes(self, self.close),
            candidates=self.candidates,
            never_refused=frozenset({"kube-system"}),
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
        self.looked.set()
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if self.pause:
            await self.pause.wait()
        return self.look(record)

    def tell(self, sandbox: PodSandbox) -> None:
        """Take note of a sandbox."""
        self.told.append(sandbox.id)

    def ended(self, pod_uid: str) -> None:
        """Forget one."""
        self.told.append(f"-{pod_uid}")

    def close(self, sandbox: PodSandbox) -> None:
        """Close what is held of one."""
        self.gone.append(sandbox.id)

    def connection(self, *, connected: bool, runtime: str, version: str) -> None:
        """Hear of the runtime."""
        del runtime, version
        self.connections.append(connected)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Look at pods that are due, for the block."""
        running = asyncio.create_task(self.loop.run())
        await asyncio.sleep(0)
        yield
        running.cancel()
        await asyncio.wait([running])

    async def look_at_what_is_due(self) -> None:
        """Look at it, once."""
        async with self.looking():
            for _ in range(3):
                await asyncio.sleep(0)

    def checkpoint(self) -> Checkpoint:
        """Take down what is known, for the next agent."""
        return checkpoint_of(self.loop.records, self.loop.past_drift, self.programs)

    def captured(self, uid: str = POD_UID) -> Captured | None:
        """Tell whether a pod was captured in time."""
        record = self.loop.known(uid)
        return record.captured if record else None

    def finding(self, uid: str = POD_UID) -> Finding | None:
        """What is known of a pod."""
        record = self.loop.known(uid)
        return record.finding if record else None
