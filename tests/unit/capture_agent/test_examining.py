"""A look at a pod ends in a finding about it, whatever happens."""

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest
from msgspec.structs import replace

from capture_agent.broker_client import BrokerLostError, SandboxRefusedError
from capture_agent.broker_protocol import Refusal
from capture_agent.desired import Programs
from capture_agent.examining import Clocks, Examiner
from capture_agent.fake_backend import FakeBackend
from capture_agent.journal import Journal
from capture_agent.listening import Listener
from capture_agent.nat_backends import NatView
from capture_agent.processes import Process
from capture_agent.reconciling import Reconciler
from capture_agent.records import PodRecord
from capture_agent.sandbox_finder import SandboxFinder
from capture_agent.sandboxes import Sandbox
from capture_api.capture_programs import CaptureProgram, CaptureProgramSpec
from capture_api.meta import ObjectMeta
from capture_api.node_captures import Captured, NetnsIdentity, PodState
from capture_api.programs import IpFamily
from capture_api.wire import encode
from capture_nat.families import Family
from capture_nri.pod_sandboxes import PodSandbox
from unit.capture_agent.captures import (
    CAPTURE_UID,
    POD_UID,
    SANDBOX,
    dispatched,
    program_spec,
    record,
    ref,
)

IN_TIME = Captured.BEFORE_FIRST_CONTAINER
WALL = 1.8e9
UPTIME = 3600.0
HOST = NetnsIdentity(device=4, inode=1)
IN_POD = Process(pid=1, start_time=1, pod_uid=POD_UID, netns=SANDBOX.netns)
MANIFEST_HASH = "0123456789abcdef" * 2
ON_HOST = Process(pid=1, start_time=1, pod_uid=POD_UID, netns=HOST)


class Backend(FakeBackend):
    """Fails to read on demand."""

    failure: Exception | None = None

    async def view(self, sandbox: Sandbox, family: Family) -> NatView:
        """Fail, or read."""
        if self.failure:
            raise self.failure
        return await super().view(sandbox, family)


class Node:
    """A node with one pod, whose proxy listens everywhere."""

    def __init__(self, directory: Path, programs: Programs, *processes: Process) -> None:
        self.backend = Backend()
        self.processes: Sequence[Process] = processes
        self.scans = 0
        self.listening: Sequence[Listener] | Exception = (Listener("::", 15001),)
        self.addressed: Sequence[str] | Exception = ("127.0.0.1", "10.9.8.7", "fd00::7")
        self.now = 0.0
        self.examiner = Examiner(
            reconciler=Reconciler(
                self.backend,
                Journal(directory / "journal.json", "boot"),
                lambda: self.now,
                lambda: 0.0,
            ),
            finder=SandboxFinder(self, HOST, lambda: self.now, lambda _: None),
            listeners=self.listeners,
            programs=programs,
            clocks=Clocks(lambda: self.now, lambda: WALL + self.now, lambda: UPTIME + self.now),
        )

    async def pod_processes(self) -> tuple[Process, ...]:
        """List the processes of pods."""
        self.scans += 1
        return tuple(self.processes)

    async def hold_told(self, _: PodSandbox) -> Sandbox | None:
        """Nothing is opened when it is told."""
        return None

    async def process(self, pid: int) -> Process | None:
        """Read one of them."""
        return next((each for each in self.processes if each.pid == pid), None)

    async def addresses(self, _: Sandbox) -> tuple[bytes, ...]:
        """List the addresses in the pod's namespace, or fail to."""
        if isinstance(self.addressed, Exception):
            raise self.addressed
        return tuple(ip_address(each).packed for each in self.addressed)

    async def netns(self, _: str) -> NetnsIdentity | None:
        """There is none that is kept without a process."""
        return None

    async def listeners(self, _: Sandbox) -> tuple[Listener, ...]:
        """List who listens, or fail to."""
        if isinstance(self.listening, Exception):
            raise self.listening
        return tuple(self.listening)

    async def examine(self, before: PodRecord) -> PodRecord:
        """Look, long after the last look."""
        self.now += 100
        return await self.examiner.examine(before)


def programs(
    spec: CaptureProgramSpec | None = None, **changes: object
) -> dict[tuple[str, str], CaptureProgram]:
    """Keep one CaptureProgram, with raw fields changed."""
    meta = ObjectMeta(name="web", uid="p", namespace="demo")
    raw = {**encode(spec or program_spec()), **changes}
    return {("demo", "web"): CaptureProgram(metadata=meta, spec=raw)}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node where all is well."""
    return Node(tmp_path, programs(), IN_POD)


async def test_a_pod_where_all_is_well(node: Node) -> None:
    """Programmed, and somebody listens."""
    after = await node.examine(record())
    assert after.finding.state is PodState.PROGRAMMED
    assert after.ports_not_listening == ()


async def test_nobody_listens_on_the_redirect_port(node: Node) -> None:
    """The first mistake everybody makes; and when it is mended, it is gone."""
    node.listening = ()
    after = await node.examine(record())
    assert after.finding.state is PodState.PROGRAMMED
    assert after.ports_not_listening == (15001,)
    node.listening = (Listener("0.0.0.0", 15001),)  # noqa: S104 - nothing is bound
    assert (await node.examine(after)).ports_not_listening == ()


async def test_a_pod_without_an_address_waits(node: Node) -> None:
    """Nothing could tell its network namespace for the right one."""
    before = replace(record(), pod=replace(record().pod, pod_ips=()))
    after = await node.examine(before)
    assert (after.finding.state, after.finding.reason) == (PodState.PENDING, "NoPodIP")
    assert node.scans == 0


TOLD = PodSandbox(
    id="s", uid=POD_UID, namespace="demo", name="web", labels={}, annotations={},
    runtime_handler="", netns_path="/run/netns/x", pid=IN_POD.pid, ips=(),
)  # fmt: skip
"""A sandbox of a runtime that tells no addresses."""


def starting(node: Node) -> PodRecord:
    """Begin a pod of which nobody has told an address, and with whose first container it waits."""
    node.examiner.finder.tell(TOLD)
    pod = replace(record().pod, pod_ips=())
    return replace(record(), pod=pod, is_starting=True)


async def test_a_pod_that_starts_is_captured_in_the_families_that_its_namespace_has(
    node: Node,
) -> None:
    """Where the runtime tells no addresses; and it stays so when they are dispatched."""
    after = await node.examine(starting(node))
    assert (after.finding.state, after.captured) == (PodState.PROGRAMMED, IN_TIME)
    assert after.held_families == (IpFamily.IPV4, IpFamily.IPV6)
    dispatched = replace(after, pod=record().pod, is_starting=False)
    assert (await node.examine(dispatched)).held_families == after.held_families


@pytest.mark.parametrize(
    ("addressed", "reason"),
    [
        ((), "NoPodIP"),
        (("127.0.0.1", "::1", "169.254.1.1", "fe80::1"), "NoPodIP"),
        (SandboxRefusedError(Refusal.SANDBOX_GONE, "it has ended"), "SandboxGone"),
        (BrokerLostError("it died"), "BrokerLost"),
    ],
)
async def test_a_pod_that_starts_without_an_address_waits(
    node: Node, addressed: Sequence[str] | Exception, reason: str
) -> None:
    """Nobody can say that no program applies to it; once it has one, it is captured."""
    node.addressed = addressed
    after = await node.examine(starting(node))
    assert (after.finding.reason, after.held_by) == (reason, "")
    assert after.finding.state is not PodState.NOT_APPLICABLE
    node.addressed = ("10.9.8.7",)
    after = await node.examine(after)
    assert (after.finding.state, after.held_families) == (PodState.PROGRAMMED, (IpFamily.IPV4,))


async def test_a_pod_whose_sandbox_is_another_one_by_now_is_looked_for_again(node: Node) -> None:
    """What the runtime said leads there."""
    node.addressed = SandboxRefusedError(Refusal.SANDBOX_CHANGED, "it leads to another one")
    after = await node.examine(starting(node))
    another = NetnsIdentity(device=4, inode=7)
    node.processes = (Process(pid=IN_POD.pid, start_time=2, pod_uid=POD_UID, netns=another),)
    node.addressed = ("10.9.8.7",)
    after = await node.examine(after)
    assert (after.finding.state, after.held_in) == (PodState.PROGRAMMED, another)


async def test_nobody_believes_the_addresses_of_a_pod_that_has_started(node: Node) -> None:
    """Its processes may have led elsewhere since."""
    after = await node.examine(replace(starting(node), is_starting=False))
    assert (after.finding.state, after.finding.reason) == (PodState.PENDING, "NoPodIP")


@pytest.mark.parametrize("processes", [(), (ON_HOST,)])
@pytest.mark.parametrize("to", [ref(), None])
async def test_a_pod_without_a_sandbox_waits(
    node: Node, processes: tuple[Process, ...], to: object
) -> None:
    """Also with processes on the host network: that is a moment of a start, or CRI-O's conmon."""
    node.processes = processes
    before = replace(record(), pod=dispatched(to))  # type: ignore[arg-type]
    after = await node.examine(before)
    assert (after.finding.state, after.finding.reason) == (PodState.PENDING, "SandboxNotFound")
    node.processes = (IN_POD,)
    after = await node.examine(after)
    assert after.finding.state is PodState.PROGRAMMED


async def test_an_empty_sandbox_with_the_inode_of_one_that_is_gone_is_no_drift(node: Node) -> None:
    """The kernel gives out the numbers of network namespaces again."""
    before = await node.examine(record())
    node.processes = ()
    node.examiner.finder.forget(POD_UID)
    gone = await node.examine(before)
    assert (gone.held_in, gone.captured, gone.held_by) == (None, None, CAPTURE_UID)
    node.backend.tables.clear()
    node.processes = (IN_POD,)
    after = await node.examine(gone)
    assert (after.finding.state, after.held_in) == (PodState.PROGRAMMED, SANDBOX.netns)
    assert after.detected == 0


async def test_a_static_pod_whose_sandbox_was_replaced_is_looked_for_again(node: Node) -> None:
    """It is remembered under the UID that the kubelet runs it under."""
    gone = Process(pid=1, start_time=1, pod_uid=MANIFEST_HASH, netns=SANDBOX.netns)
    node.processes = (gone,)
    mirror = replace(record().pod, static_pod_uid=MANIFEST_HASH)
    node.listening = SandboxRefusedError(Refusal.SANDBOX_GONE, "it has ended")
    after = await node.examine(replace(record(), pod=mirror))
    assert after.finding.reason == "SandboxGone"
    await node.examine(after)
    assert node.scans == 2


async def test_a_pod_on_the_host_network_is_not_even_looked_for(node: Node) -> None:
    """Its spec says it."""
    before = replace(record(), pod=dispatched(ref(), host_network=True))
    after = await node.examine(before)
    assert (after.finding.state, after.finding.reason) == (PodState.NOT_APPLICABLE, "HostNetwork")
    assert (node.scans, node.backend.writes) == (0, 0)


async def test_a_pod_of_no_capture_is_freed(node: Node) -> None:
    """What was there of ours goes."""
    held = await node.examine(record())
    after = await node.examine(replace(held, pod=dispatched(None)))
    assert after.held_by == ""
    assert after.is_released
    assert not node.backend.tables[SANDBOX.key, Family.IPV4].rules("ISTIO_OUTPUT")


@pytest.mark.parametrize(
    ("refusal", "state"),
    [
        (Refusal.SANDBOX_GONE, PodState.PENDING),
        (Refusal.SANDBOX_CHANGED, PodState.PENDING),
        (Refusal.ADDRESS_MISSING, PodState.PENDING),
        (Refusal.HOST_NETWORK, PodState.NOT_APPLICABLE),
    ],
)
async def test_a_refused_sandbox_is_looked_for_again(
    node: Node, refusal: Refusal, state: PodState
) -> None:
    """The next look begins with a scan."""
    node.backend.failure = SandboxRefusedError(refusal, "why")
    after = await node.examine(record())
    assert (after.finding.state, after.finding.reason) == (state, refusal)
    node.backend.failure = None
    after = await node.examine(after)
    assert after.finding.state is PodState.PROGRAMMED
    assert node.scans == 2


async def test_a_step_that_fails_is_no_reason_to_scan(node: Node) -> None:
    """The sandbox is the right one."""
    node.backend.failure = SandboxRefusedError(Refusal.STEP_FAILED, "why")
    after = await node.examine(record())
    assert (after.finding.state, after.finding.reason) == (PodState.FAILED, "StepFailed")
    await node.examine(after)
    assert node.scans == 1


async def test_a_surprise_stays_in_the_record_of_its_pod(node: Node) -> None:
    """It is logged with its traceback, and the loop goes on."""
    node.backend.failure = ZeroDivisionError()
    after = await node.examine(record())
    assert (after.finding.state, after.finding.reason) == (PodState.FAILED, "InternalError")


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (BrokerLostError("why"), "BrokerLost"),
        (SandboxRefusedError(Refusal.SANDBOX_GONE, "why"), "SandboxGone"),
    ],
)
async def test_failing_to_see_who_listens_undoes_nothing(
    node: Node, failure: Exception, reason: str
) -> None:
    """The program is in the pod, and the capture holds it."""
    node.listening = failure
    after = await node.examine(record())
    assert after.finding.reason == reason
    assert after.held_by == CAPTURE_UID
    assert after.held_hash == program_spec().hash


async def test_an_agent_that_is_too_old_enforces_what_it_knows_and_says_so(tmp_path: Path) -> None:
    """What it does not know it does not touch."""
    known = programs()
    node = Node(tmp_path, known, IN_POD)
    before = await node.examine(record())
    known |= programs(schemaVersion=99)
    after = await node.examine(before)
    assert (after.finding.state, after.finding.reason) == (PodState.PROGRAMMED, "AgentTooOld")
    fresh = await node.examine(record())
    assert (fresh.finding.state, fresh.finding.reason) == (PodState.PENDING, "AgentTooOld")


async def test_a_program_that_cannot_be_read_leaves_the_rules_alone(tmp_path: Path) -> None:
    """It is Stalled by itself."""
    node = Node(tmp_path, programs(program="nonsense"), IN_POD)
    after = await node.examine(record())
    assert (after.finding.state, after.finding.reason) == (PodState.PENDING, "ProgramMalformed")
    assert (node.scans, node.backend.writes) == (0, 0)
