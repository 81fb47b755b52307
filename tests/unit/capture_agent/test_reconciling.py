"""One pass over one pod, against tables in memory that others tamper with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from capture_agent.broker_client import BrokerLostError, SandboxRefusedError
from capture_agent.broker_protocol import Refusal
from capture_agent.desired import Capture
from capture_agent.fake_backend import FAKE, FakeBackend
from capture_agent.journal import Journal
from capture_agent.nat_backends import BackendError, NatChange, NatView
from capture_agent.reconciling import Reconciler
from capture_agent.records import PodRecord
from capture_agent.sandboxes import Sandbox
from capture_api.captures import DriftPolicy, Mode
from capture_api.node_captures import PodState
from capture_api.programs import Program
from capture_nat.compiling import compile_program
from capture_nat.families import Family
from capture_nat.planning import plan_changes
from capture_nat.simulation import apply_plan
from capture_nat.tables import NatTable, TableChain
from unit.capture_agent.captures import (
    CAPTURE_UID,
    OTHER_CAPTURE_UID,
    SANDBOX,
    capture,
    program,
    record,
)

TABLE = (SANDBOX.key, Family.IPV4)
FOREIGN = NatTable(
    {
        "PREROUTING": TableChain("ACCEPT", ("-A PREROUTING -p udp -j FOREIGN",)),
        "OUTPUT": TableChain("ACCEPT", ("-A OUTPUT -p udp -j ACCEPT",)),
        "FOREIGN": TableChain(None, ("-A FOREIGN -j RETURN",)),
    }
)


@dataclass
class Node:
    """A node with one sandbox, whose time stands still unless it is moved."""

    directory: Path
    backend: FakeBackend = field(default_factory=FakeBackend)
    now: float = 0.0

    @property
    def journal(self) -> Journal:
        """What a new agent reads."""
        return Journal(self.directory / "journal.json", "boot")

    @property
    def reconciler(self) -> Reconciler:
        """A new agent on this node."""
        return Reconciler(self.backend, self.journal, lambda: self.now, self.wall)

    def wall(self) -> float:
        """Seconds since the epoch: an hour for each write."""
        return 3600.0 * self.backend.writes

    @property
    def table(self) -> NatTable:
        """What the kernel holds."""
        return self.backend.tables.get(TABLE, NatTable())

    @table.setter
    def table(self, table: NatTable) -> None:
        self.backend.tables[TABLE] = table

    async def capture(self, before: PodRecord, desired: Capture) -> PodRecord:
        """Make a pass."""
        return await self.reconciler.capture(before, desired, SANDBOX)

    async def release(self, before: PodRecord) -> PodRecord:
        """Make a pass over a pod that nothing captures any more."""
        return await self.reconciler.release(before, SANDBOX)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node with rules of somebody else in the pod."""
    node = Node(tmp_path)
    node.table = FOREIGN
    return node


def planned(what: Program | None = None) -> NatTable:
    """Bring a program into the foreign table, by hand."""
    ruleset = compile_program(what or program(), Family.IPV4)
    return apply_plan(FOREIGN, plan_changes(ruleset, FOREIGN, frozenset()))


def flushed(table: NatTable) -> NatTable:
    """Flush every chain."""
    return NatTable({n: TableChain(c.policy) for n, c in table.chains.items()})


def without_jump(table: NatTable) -> NatTable:
    """Take our jump out of OUTPUT."""
    return table.with_chain("OUTPUT", FOREIGN.chains["OUTPUT"])


def with_inserted_rule(table: NatTable) -> NatTable:
    """Put a rule in front of ours."""
    rules = ("-A ISTIO_OUTPUT -j RETURN", *table.rules("ISTIO_OUTPUT"))
    return table.with_chain("ISTIO_OUTPUT", TableChain(None, rules))


def with_shadow(table: NatTable) -> NatTable:
    """Put an ACCEPT ahead of our jump."""
    rules = ("-A OUTPUT -p tcp -j ACCEPT", *table.rules("OUTPUT"))
    return table.with_chain("OUTPUT", TableChain("ACCEPT", rules))


TAMPERINGS = [
    (flushed, "Flushed"),
    (without_jump, "JumpMissing"),
    (with_inserted_rule, "RuleInserted"),
    (with_shadow, "JumpShadowed"),
]


async def test_a_program_is_brought_in_beside_foreign_rules(node: Node) -> None:
    """The pod is Programmed, under this capture, and nothing was drift."""
    after = await node.capture(record(), capture())
    assert after.finding.state is PodState.PROGRAMMED
    evidence = after.evidence()
    assert (evidence.capture_uid, evidence.hash) == (CAPTURE_UID, capture().spec.hash)
    assert (evidence.netns, evidence.backend, evidence.generation) == (SANDBOX.netns, FAKE, 1)
    assert (after.detected, after.repaired) == (0, 0)
    assert node.table == planned()


async def test_a_pass_over_an_equal_state_writes_nothing(node: Node) -> None:
    """Neither rules nor the journal."""
    after = await node.capture(record(), capture())
    written = (node.directory / "journal.json").stat().st_mtime_ns
    assert await node.capture(after, capture()) == after
    assert node.backend.writes == 1
    assert (node.directory / "journal.json").stat().st_mtime_ns == written


@pytest.mark.parametrize(("tamper", "kind"), TAMPERINGS)
async def test_drift_is_counted_named_and_repaired(
    node: Node, tamper: Callable[[NatTable], NatTable], kind: str
) -> None:
    """Rules of others stay where they are, behind ours."""
    after = await node.capture(record(), capture())
    node.table = tamper(node.table)
    foreign = node.table.rules("FOREIGN")
    after = await node.capture(after, capture())
    assert after.finding.state is PodState.PROGRAMMED
    assert (after.detected, after.repaired) == (1, 1)
    assert after.last_drift
    assert after.last_drift.kind == kind
    assert node.table.rules("FOREIGN") == foreign
    assert node.backend.writes == 2


@pytest.mark.parametrize(("tamper", "kind"), TAMPERINGS)
async def test_with_report_drift_is_told_once_and_left(
    node: Node, tamper: Callable[[NatTable], NatTable], kind: str
) -> None:
    """Until it is gone."""
    desired = capture(drift_policy=DriftPolicy.REPORT)
    after = await node.capture(record(), desired)
    assert after.finding.state is PodState.PROGRAMMED, "a new program is brought in"
    whole = node.table
    node.table = tamper(whole)
    for _ in range(3):
        after = await node.capture(after, desired)
    assert (after.finding.state, after.finding.reason) == (PodState.DRIFTED, kind)
    assert (after.detected, after.repaired) == (1, 0)
    assert node.backend.writes == 1
    node.table = whole
    after = await node.capture(after, desired)
    assert after.finding.state is PodState.PROGRAMMED


@pytest.mark.parametrize("changes", [{"mode": Mode.OBSERVE}, {"suspend": True}])
@pytest.mark.parametrize("tamper", [flushed, without_jump, lambda _: FOREIGN])
async def test_observe_and_suspend_never_write(
    node: Node, changes: dict[str, Any], tamper: Callable[[NatTable], NatTable]
) -> None:
    """Neither rules nor the journal, whatever is wrong; it is reported."""
    after = await node.capture(record(), capture())
    node.table = tamper(node.table)
    table, writes = node.table, node.backend.writes
    after = await node.capture(after, capture(None, **changes))
    assert after.finding.state is PodState.DRIFTED
    assert (node.table, node.backend.writes) == (table, writes)


async def test_observe_says_programmed_of_a_pod_that_has_the_rules(node: Node) -> None:
    """Though nobody knows who wrote them."""
    node.table = planned()
    after = await node.capture(record(), capture(mode=Mode.OBSERVE))
    assert after.finding.state is PodState.PROGRAMMED
    assert node.backend.writes == 0
    assert not (node.directory / "journal.json").exists()


async def test_rules_that_are_already_as_planned_are_adopted(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is written to the kernel; the log says it, and from then on they are ours."""
    node.table = planned()
    with caplog.at_level("INFO"):
        after = await node.capture(record(), capture())
    assert after.finding.state is PodState.PROGRAMMED
    assert node.table == planned()
    assert "ISTIO_OUTPUT" in caplog.text
    node.table = with_inserted_rule(node.table)
    after = await node.capture(after, capture())
    assert (after.finding.state, after.repaired) == (PodState.PROGRAMMED, 1)
    await node.release(after)
    assert node.table == FOREIGN


async def test_foreign_chains_of_our_names_are_a_conflict(node: Node) -> None:
    """Nothing is written, and the first difference is told."""
    node.table = with_inserted_rule(planned())
    after = await node.capture(record(), capture())
    assert (after.finding.state, after.finding.reason) == (PodState.FAILED, "ChainConflict")
    assert "ISTIO_OUTPUT" in after.finding.message
    assert node.table == with_inserted_rule(planned())
    assert node.backend.writes == 0
    assert after.held_by == ""


async def test_another_prefix_comes_in_one_transaction(node: Node) -> None:
    """The old chains go in the very plan that brings the new ones."""
    after = await node.capture(record(), capture())
    after = await node.capture(after, capture(program("CAPTURE"), capture_generation=2))
    assert node.table == planned(program("CAPTURE"))
    assert node.backend.writes == 2
    assert (after.detected, after.evidence().generation) == (0, 2)


async def test_a_changed_program_is_not_drift(node: Node) -> None:
    """It is brought in even where drift is only reported."""
    after = await node.capture(record(), capture())
    desired = capture(program(port="8080"), drift_policy=DriftPolicy.REPORT)
    after = await node.capture(after, desired)
    assert (after.finding.state, after.detected) == (PodState.PROGRAMMED, 0)
    assert node.table == planned(program(port="8080"))


async def test_a_new_sandbox_is_programmed_without_counting_drift(node: Node) -> None:
    """Its table is empty since it is new."""
    after = await node.capture(record(), capture(drift_policy=DriftPolicy.REPORT))
    elsewhere = replace(SANDBOX, netns=replace(SANDBOX.netns, inode=7))
    after = await node.reconciler.capture(
        after, capture(drift_policy=DriftPolicy.REPORT), elsewhere
    )
    assert (after.finding.state, after.detected) == (PodState.PROGRAMMED, 0)
    assert after.held_in == elsewhere.netns


async def test_what_keeps_being_broken_is_repaired_ever_more_slowly(node: Node) -> None:
    """In between it is reported as drifted, and counted once for each time it was broken."""
    after = await node.capture(record(), capture())
    outcomes = []
    for _ in range(4):
        node.table = without_jump(node.table)
        after = await node.capture(after, capture())
        outcomes.append((after.finding.state, after.repaired))
        node.now += 0.15
    assert outcomes == [
        (PodState.PROGRAMMED, 1),
        (PodState.PROGRAMMED, 2),
        (PodState.DRIFTED, 2),
        (PodState.PROGRAMMED, 3),
    ]
    assert after.detected == 3


async def test_release_leaves_exactly_what_was_there_before(node: Node) -> None:
    """And nobody holds the pod any more."""
    after = await node.release(await node.capture(record(), capture()))
    assert node.table == FOREIGN
    assert (after.held_by, after.held_hash, after.held_in) == ("", "", None)
    assert after.finding.state is PodState.PROGRAMMED
    assert node.journal.chains(*TABLE) == frozenset()


async def test_release_does_not_touch_chains_that_are_not_ours(node: Node) -> None:
    """Though they have the names and the rules that ours would have."""
    node.table = planned()
    after = await node.release(record())
    assert node.table == planned()
    assert node.backend.writes == 0
    assert after.held_by == ""


async def test_chains_that_somebody_refers_to_stay_empty_and_are_told(node: Node) -> None:
    """The capture holds the pod until they can go, and then they go."""
    after = await node.capture(record(), capture())
    whole = node.table
    node.table = whole.with_chain(
        "FOREIGN", TableChain(None, ("-A FOREIGN -p tcp -j ISTIO_REDIRECT",))
    )
    after = await node.release(after)
    assert (after.finding.state, after.finding.reason) == (PodState.FAILED, "ChainReferenced")
    assert after.held_by == CAPTURE_UID
    assert node.table.chains["ISTIO_REDIRECT"].rules == ()
    assert node.table.rules("FOREIGN") == ("-A FOREIGN -p tcp -j ISTIO_REDIRECT",)
    node.table = node.table.with_chain("FOREIGN", FOREIGN.chains["FOREIGN"])
    after = await node.release(after)
    assert after.held_by == ""
    assert node.table == FOREIGN


async def test_a_chain_that_is_gone_is_ours_no_more(node: Node) -> None:
    """The next one of its name is somebody else's: neither rewritten nor deleted."""
    after = await node.capture(record(), capture())
    node.table = FOREIGN
    await node.release(after)
    theirs = FOREIGN.with_chain("ISTIO_OUTPUT", TableChain(None, ("-A ISTIO_OUTPUT -j LOG",)))
    node.table = theirs
    node.backend.marked.clear()
    await node.release(record())
    assert node.table == theirs
    conflicting = await node.capture(record(), capture())
    assert conflicting.finding.reason == "ChainConflict"
    assert node.table == theirs


async def test_a_marked_chain_with_a_name_of_an_option_is_left_alone(node: Node) -> None:
    """Whoever owns the pod can mark what they like; such a name must not get into a command."""
    name = "--modprobe=/proc/7/root/x"
    node.table = FOREIGN.with_chain(name, TableChain(None))
    node.backend.marked[TABLE] = frozenset({name})
    after = await node.release(await node.capture(record(), capture()))
    assert after.held_by == ""
    assert node.table == FOREIGN.with_chain(name, TableChain(None))


async def test_without_journal_and_record_the_marks_are_enough(node: Node) -> None:
    """A new agent with an empty state directory repairs and releases."""
    await node.capture(record(), capture())
    (node.directory / "journal.json").unlink()
    node.table = with_inserted_rule(node.table)
    after = await node.capture(record(), capture())
    assert after.finding.state is PodState.PROGRAMMED
    (node.directory / "journal.json").unlink()
    await node.release(record())
    assert node.table == FOREIGN


async def test_without_marks_the_journal_is_enough(node: Node) -> None:
    """Legacy tables have none, and a restored table has lost them."""
    after = await node.capture(record(), capture())
    node.backend.marked.clear()
    node.table = with_inserted_rule(node.table)
    after = await node.capture(after, capture())
    assert after.repaired == 1
    node.backend.marked.clear()
    await node.release(after)
    assert node.table == FOREIGN


async def test_without_a_journal_nothing_is_written(node: Node) -> None:
    """Killed after such a write, a new agent would not know the chains for ours."""
    (node.directory / "journal.new").mkdir()
    for _ in range(2):
        after = await node.capture(record(), capture())
        assert (after.finding.state, after.finding.reason) == (
            PodState.FAILED,
            "JournalUnwritable",
        )
    assert node.table == FOREIGN


class SilentBackend(FakeBackend):
    """Says that it wrote, and did not."""

    async def write(self, sandbox: Sandbox, family: Family, change: NatChange) -> None:
        """Do nothing."""


class FailingBackend(FakeBackend):
    """Fails on demand: `reading` before each look, `written` after each write took effect."""

    reading: Exception | None = None
    written: Exception | None = None

    async def view(self, sandbox: Sandbox, family: Family) -> NatView:
        """Fail, or read."""
        if self.reading:
            raise self.reading
        return await super().view(sandbox, family)

    async def write(self, sandbox: Sandbox, family: Family, change: NatChange) -> None:
        """Write, and then fail perhaps."""
        await super().write(sandbox, family, change)
        if self.written:
            raise self.written


async def test_programmed_is_said_only_of_what_was_read_back(tmp_path: Path) -> None:
    """A tool that exits with 0 proves nothing."""
    node = Node(tmp_path, SilentBackend())
    after = await node.capture(record(), capture())
    assert after.finding.state is PodState.DRIFTED
    assert after.evidence().hash == ""
    assert after.held_by == CAPTURE_UID, "something of it may be there"


FAILURES = [
    (BackendError("TableUnreadable", "why"), PodState.FAILED, "TableUnreadable"),
    (BrokerLostError("why"), PodState.FAILED, "BrokerLost"),
    (SandboxRefusedError(Refusal.STEP_FAILED, "why"), PodState.FAILED, "StepFailed"),
    (SandboxRefusedError(Refusal.SANDBOX_GONE, "why"), PodState.PENDING, "SandboxGone"),
    (SandboxRefusedError(Refusal.SANDBOX_CHANGED, "why"), PodState.PENDING, "SandboxChanged"),
    (SandboxRefusedError(Refusal.ADDRESS_MISSING, "why"), PodState.PENDING, "AddressMissing"),
    (SandboxRefusedError(Refusal.HOST_NETWORK, "why"), PodState.NOT_APPLICABLE, "HostNetwork"),
]


@pytest.mark.parametrize(("failure", "state", "reason"), FAILURES)
async def test_a_table_that_cannot_be_read_is_a_finding(
    tmp_path: Path, failure: Exception, state: PodState, reason: str
) -> None:
    """What was known stays known, in a capture and in a release."""
    backend = FailingBackend()
    node = Node(tmp_path, backend)
    held = await node.capture(record(), capture())
    backend.reading = failure
    for after in (await node.capture(held, capture()), await node.release(held)):
        assert (after.finding.state, after.finding.reason) == (state, reason)
        assert after.held_by == CAPTURE_UID
        assert after.held_hash == capture().spec.hash


@pytest.mark.parametrize(("failure", "state", "reason"), FAILURES)
async def test_a_write_that_is_cut_short_may_have_happened(
    tmp_path: Path, failure: Exception, state: PodState, reason: str
) -> None:
    """The capture holds the pod from then on: its deletion must not overtake its chains."""
    backend = FailingBackend()
    node = Node(tmp_path, backend)
    backend.written = failure
    after = await node.capture(record(), capture())
    assert (after.finding.state, after.finding.reason) == (state, reason)
    assert after.held_by == CAPTURE_UID
    assert after.held_hash == ""
    backend.written = None
    after = await node.capture(after, capture())
    assert (after.finding.state, after.detected) == (PodState.PROGRAMMED, 0)


async def test_drift_is_dated_when_it_was_seen(node: Node) -> None:
    """However long its repair takes: here, each write takes an hour."""
    after = await node.capture(record(), capture())
    node.table = flushed(node.table)
    after = await node.capture(after, capture())
    assert node.backend.writes == 2
    assert after.last_drift
    assert after.last_drift.time == "1970-01-01T01:00:00Z"


async def test_drift_is_counted_though_its_repair_fails(tmp_path: Path) -> None:
    """It was seen; and the next attempt backs off."""
    backend = FailingBackend()
    node = Node(tmp_path, backend)
    after = await node.capture(record(), capture())
    node.table = flushed(node.table)
    backend.written = BackendError("WriteFailed", "why")
    after = await node.capture(after, capture())
    assert (after.detected, after.repaired) == (1, 0)
    assert after.last_drift is not None
    assert after.backoff.wait(node.now) > 0


async def test_a_program_that_no_rules_can_be_written_for_is_a_finding(node: Node) -> None:
    """It may come from anywhere; the pod keeps what it has."""
    bad = replace(program(), chain_prefix="--jump")
    after = await node.capture(record(), capture(bad))
    assert after.finding.reason == "ProgramUnenforceable"
    assert node.table == FOREIGN


async def test_another_capture_takes_over(node: Node) -> None:
    """With the same rules nothing is written at all."""
    after = await node.capture(record(), capture())
    after = await node.capture(after, capture(capture_uid=OTHER_CAPTURE_UID))
    assert after.held_by == OTHER_CAPTURE_UID
    assert node.backend.writes == 1


class BusyBackend(FakeBackend):
    """Somebody else writes to the table just before we do, so many times."""

    others: int = 1

    async def write(self, sandbox: Sandbox, family: Family, change: NatChange) -> None:
        """Lose the race, or write."""
        if self.others:
            self.others -= 1
            key = (sandbox.key, family)
            table = self.tables.get(key, NatTable())
            name = f"FOREIGN{self.others}"
            self.tables[key] = table.with_chain(name, TableChain(None))
        await super().write(sandbox, family, change)


async def test_a_table_that_changed_since_we_looked_is_looked_at_again(tmp_path: Path) -> None:
    """The plan is made for the table that it is written to, and nothing of others is lost."""
    node = Node(tmp_path, BusyBackend())
    after = await node.capture(record(), capture())
    assert (after.finding.state, after.detected) == (PodState.PROGRAMMED, 0)
    assert "FOREIGN0" in node.table.chains


async def test_a_table_that_never_rests_is_told(tmp_path: Path) -> None:
    """The next pass tries again."""
    backend = BusyBackend()
    backend.others = 100
    after = await Node(tmp_path, backend).capture(record(), capture())
    assert (after.finding.state, after.finding.reason) == (PodState.FAILED, "TableChanged")
    assert backend.writes == 0
