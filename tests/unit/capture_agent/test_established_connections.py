"""When connections that began before a program are kept, and when they are ended."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from capture_agent.broker_client import BrokerLostError
from capture_agent.examining import Clocks, Examiner
from capture_agent.fake_backend import FakeBackend
from capture_agent.journal import Journal
from capture_agent.listening import Listener
from capture_agent.processes import Process
from capture_agent.reconciling import Reconciler
from capture_agent.records import PROGRAMMED, PodRecord
from capture_agent.sandbox_finder import SandboxFinder
from capture_agent.sandboxes import Sandbox
from capture_api.capture_programs import CaptureProgram, CaptureProgramSpec
from capture_api.captures import DriftPolicy, EstablishedConnections, Mode
from capture_api.meta import ObjectMeta
from capture_api.node_captures import NetnsIdentity, PodState
from capture_api.programs import Program
from capture_api.wire import encode
from capture_nat.families import Family
from capture_nri.pod_sandboxes import PodSandbox
from unit.capture_agent.captures import POD_UID, SANDBOX, program, program_spec, record

HOST = NetnsIdentity(device=4, inode=1)
RESET = EstablishedConnections.RESET


@dataclass
class Pod:
    """A pod whose connections are counted instead of kept or ended."""

    directory: Path
    backend: FakeBackend = field(default_factory=FakeBackend)
    done: list[str] = field(default_factory=list)
    failure: Exception | None = None

    async def keep(self, sandbox: Sandbox) -> None:
        """Note it, with what the table holds by then."""
        held = self.backend.tables.get((sandbox.key, Family.IPV4))
        self.done.append("kept late" if held and held.chains else "kept")
        if self.failure:
            raise self.failure

    async def reset(self, _: Sandbox, what: Program) -> None:
        """Note it."""
        self.done.append(f"reset {what.chain_prefix}")
        if self.failure:
            raise self.failure

    async def look(self, spec: CaptureProgramSpec, before: PodRecord | None = None) -> PodRecord:
        """Look once, as an agent that has just started."""
        meta = ObjectMeta(name="web", uid="p", namespace="demo")
        stored = CaptureProgram(metadata=meta, spec=encode(spec))
        examiner = Examiner(
            reconciler=Reconciler(
                self.backend,
                Journal(self.directory / "journal.json", "boot"),
                lambda: 0.0,
                lambda: 0.0,
                self.keep,
            ),
            finder=SandboxFinder(self, HOST, lambda: 0.0, lambda _: None),
            listeners=self.listeners,
            programs={("demo", "web"): stored},
            clocks=Clocks(lambda: 0.0, lambda: 1.8e9, lambda: 3600.0),
            reset=self.reset,
        )
        pod = record(spec).pod
        return await examiner.examine(replace(before or record(spec), pod=pod))

    async def listeners(self, _: Sandbox) -> tuple[Listener, ...]:
        """Have the proxy listen."""
        return (Listener("::", 15001),)

    async def pod_processes(self) -> tuple[Process, ...]:
        """List the pod's process."""
        return (Process(pid=1, start_time=1, pod_uid=POD_UID, netns=SANDBOX.netns),)

    async def hold_told(self, _: PodSandbox) -> Sandbox | None:
        """Nothing is opened when it is told."""
        return None

    async def process(self, _: int) -> Process | None:
        """Read it."""
        return (await self.pod_processes())[0]

    async def addresses(self, _: Sandbox) -> tuple[bytes, ...]:
        """Nobody has to ask: they are known."""
        raise NotImplementedError

    async def netns(self, _: str) -> NetnsIdentity | None:
        """There is none that is kept without a process."""
        return None


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    """A running pod without rules."""
    return Pod(tmp_path)


async def test_connections_are_kept_once_and_before_the_first_rule(pod: Pod) -> None:
    """Under rules, connection tracking sees each from its first packet."""
    after = await pod.look(program_spec())
    assert pod.done == ["kept"]
    after = await pod.look(program_spec(), after)
    await pod.look(program_spec(program(port="81")), after)
    assert pod.done == ["kept"]


async def test_a_pod_that_starts_has_nothing_to_keep(pod: Pod) -> None:
    """The runtime waits with its first container."""
    await pod.look(program_spec(), replace(record(), is_starting=True))
    assert pod.done == []


async def test_nothing_is_kept_where_nothing_is_written(pod: Pod) -> None:
    """To observe is to leave no trace."""
    await pod.look(program_spec(mode=Mode.OBSERVE))
    await pod.look(program_spec(suspend=True))
    assert pod.done == []


async def test_connections_end_once_for_each_program_that_was_read_back(pod: Pod) -> None:
    """By the rules of the program that is there by then."""
    spec = program_spec(established_connections=RESET)
    after = await pod.look(spec)
    after = await pod.look(spec, after)
    assert pod.done == ["reset ISTIO"]
    changed = program_spec(program(port="81"), established_connections=RESET)
    after = await pod.look(changed, after)
    await pod.look(changed, after)
    assert pod.done == ["reset ISTIO"] * 2


async def test_drift_that_was_repaired_ends_no_connection(pod: Pod) -> None:
    """The program was there before."""
    spec = program_spec(established_connections=RESET)
    after = await pod.look(spec)
    pod.backend.tables.clear()
    after = await pod.look(spec, after)
    assert after.repaired == 1
    assert pod.done == ["reset ISTIO"]


async def test_a_program_that_is_not_there_ends_no_connection(pod: Pod) -> None:
    """Observing, nothing was brought in."""
    after = await pod.look(program_spec(established_connections=RESET, mode=Mode.OBSERVE))
    assert after.finding.state is PodState.DRIFTED
    assert pod.done == []


async def test_to_observe_a_program_that_is_there_ends_no_connection(pod: Pod) -> None:
    """Whoever wrote it."""
    after = await pod.look(program_spec(drift_policy=DriftPolicy.REPORT))
    fresh = replace(after, held_hash="", held_in=None)
    await pod.look(program_spec(established_connections=RESET, mode=Mode.OBSERVE), fresh)
    assert pod.done == ["kept"]


@pytest.mark.parametrize("failure", [OSError(1, "no"), BrokerLostError("gone")])
@pytest.mark.parametrize(
    ("policy", "reason"),
    [(EstablishedConnections.KEEP, "ConnectionsNotKept"), (RESET, "ConnectionsNotReset")],
)
async def test_a_failure_is_a_reason_and_the_pod_is_captured(
    pod: Pod, policy: EstablishedConnections, reason: str, failure: Exception
) -> None:
    """New connections go through the proxy all the same."""
    pod.failure = failure
    spec = program_spec(established_connections=policy)
    after = await pod.look(spec)
    assert (after.finding.state, after.finding.reason) == (PodState.PROGRAMMED, reason)
    assert after.held_hash == spec.hash
    assert (await pod.look(spec, after)).finding == PROGRAMMED
