"""One pass over a pod of two families: both at once, and one family's trouble is its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from msgspec.structs import replace

from capture_agent.fake_backend import FakeBackend
from capture_agent.families import ip_families
from capture_agent.journal import Journal
from capture_agent.nat_backends import (
    BackendError,
    NatChange,
    NatView,
    TableChangedError,
    TableFailure,
)
from capture_agent.reconciling import Reconciler
from capture_agent.records import PodRecord
from capture_agent.sandboxes import Sandbox
from capture_api.node_captures import PodState
from capture_api.programs import IpFamily
from capture_nat.compiling import compile_program
from capture_nat.drift import find_drift
from capture_nat.families import Family
from capture_nat.tables import NatTable, TableChain
from unit.capture_agent.captures import SANDBOX, capture, program, record

BOTH = tuple(IpFamily)
DUAL_STACK = replace(SANDBOX, pod_ips=(*SANDBOX.pod_ips, "fd00::7"))


def with_inserted_rule(table: NatTable) -> NatTable:
    """Put a rule in front of ours."""
    rules = ("-A ISTIO_OUTPUT -j RETURN", *table.rules("ISTIO_OUTPUT"))
    return table.with_chain("ISTIO_OUTPUT", TableChain(None, rules))


class TwoTables(FakeBackend):
    """Fails in one family on demand; `batches` are the families that were written together."""

    def __init__(self) -> None:
        super().__init__()
        self.reading: dict[Family, BackendError] = {}
        self.writing: dict[Family, BackendError] = {}
        self.batches: list[tuple[Family, ...]] = []

    async def apply(
        self, sandbox: Sandbox, changes: Mapping[Family, NatChange]
    ) -> Mapping[Family, TableFailure]:
        """Take note."""
        self.batches.append(tuple(changes))
        return await super().apply(sandbox, changes)

    async def view(self, sandbox: Sandbox, family: Family) -> NatView:
        """Fail, or read."""
        if family in self.reading:
            raise self.reading[family]
        return await super().view(sandbox, family)

    async def write(self, sandbox: Sandbox, family: Family, change: NatChange) -> None:
        """Fail once, or write."""
        if family in self.writing:
            raise self.writing.pop(family)
        await super().write(sandbox, family, change)

    def holds(self, family: Family) -> bool:
        """Whether a family has the whole program."""
        ruleset = compile_program(program(), family)
        return not find_drift(ruleset, self.tables.get((SANDBOX.key, family), NatTable()))

    def tamper(self, family: Family, tamper: Callable[[NatTable], NatTable]) -> None:
        """Change a table, as somebody else."""
        self.tables[SANDBOX.key, family] = tamper(self.tables[SANDBOX.key, family])


@dataclass
class DualStack:
    """A pod of two families, and passes over it."""

    reconciler: Reconciler
    backend: TwoTables

    async def capture(self, before: PodRecord) -> PodRecord:
        """Make a pass."""
        return await self.reconciler.capture(before, capture(), DUAL_STACK)

    async def release(self, before: PodRecord) -> PodRecord:
        """Make a pass over a pod that nothing captures any more."""
        return await self.reconciler.release(before, DUAL_STACK)


@pytest.fixture
def pod(tmp_path: Path) -> DualStack:
    """A pod that holds nothing, at which an hour passes between any two things."""
    backend, hours = TwoTables(), count(0.0, 3600.0)
    journal = Journal(tmp_path / "journal.json", "boot")
    return DualStack(Reconciler(backend, journal, lambda: next(hours), lambda: 0.0), backend)


async def test_what_is_to_be_written_is_handed_over_for_both_families_at_once(
    pod: DualStack,
) -> None:
    """When it comes in, is repaired and goes."""
    after = await pod.capture(record())
    assert (after.finding.state, after.held_families) == (PodState.PROGRAMMED, BOTH)
    for family in Family:
        pod.backend.tamper(family, with_inserted_rule)
    after = await pod.capture(after)
    assert (after.detected, after.repaired) == (1, 1)
    pod.backend.tamper(Family.IPV6, with_inserted_rule)
    after = await pod.capture(await pod.capture(after))
    assert (after.detected, after.repaired) == (2, 2)
    assert (await pod.release(after)).held_by == ""
    both = (Family.IPV4, Family.IPV6)
    assert pod.backend.batches == [both, both, (Family.IPV6,), both]


@pytest.mark.parametrize("failing", Family)
async def test_a_family_that_cannot_be_read_keeps_nothing_from_the_other(
    pod: DualStack, failing: Family
) -> None:
    """Neither a program, nor a repair, nor a release."""
    (other,) = set(Family) - {failing}
    pod.backend.reading[failing] = BackendError("TableUnreadable", "why")
    after = await pod.capture(record())
    assert (after.finding.state, after.finding.reason) == (PodState.FAILED, "TableUnreadable")
    assert after.held_families == ip_families([other])
    pod.backend.tamper(other, with_inserted_rule)
    after = await pod.capture(after)
    assert (after.detected, after.repaired) == (1, 1)
    assert pod.backend.holds(other)
    after = await pod.release(after)
    assert after.finding.reason == "TableUnreadable"
    assert not pod.backend.tables[SANDBOX.key, other].rules("OUTPUT")


@pytest.mark.parametrize("failing", Family)
async def test_a_family_that_cannot_be_written_keeps_nothing_from_the_other(
    pod: DualStack, failing: Family
) -> None:
    """And comes in by itself at the next pass."""
    (other,) = set(Family) - {failing}
    pod.backend.writing[failing] = BackendError("WriteFailed", "why")
    after = await pod.capture(record())
    assert (after.finding.state, after.finding.reason) == (PodState.FAILED, "WriteFailed")
    assert after.held_families == ip_families([other])
    after = await pod.capture(after)
    assert (after.finding.state, after.held_families) == (PodState.PROGRAMMED, BOTH)
    assert pod.backend.batches[1:] == [(failing,)]


@pytest.mark.parametrize("changed", Family)
async def test_only_the_family_that_changed_since_we_looked_is_written_again(
    pod: DualStack, changed: Family
) -> None:
    """Where the backend wrote the other one."""
    pod.backend.writing[changed] = TableChangedError()
    after = await pod.capture(record())
    assert (after.finding.state, after.held_families) == (PodState.PROGRAMMED, BOTH)
    assert pod.backend.batches[1:] == [(changed,)]


async def test_a_conflict_in_one_family_keeps_nothing_from_the_other(pod: DualStack) -> None:
    """The finding names the family that it is in."""
    theirs = TableChain(None, ("-A ISTIO_OUTPUT -j LOG",))
    pod.backend.tables[SANDBOX.key, Family.IPV6] = NatTable({"ISTIO_OUTPUT": theirs})
    after = await pod.capture(record())
    assert after.finding.reason == "ChainConflict"
    assert after.finding.message.startswith("IPv6: ")
    assert pod.backend.holds(Family.IPV4)
    assert pod.backend.batches == [(Family.IPV4,)]


async def test_a_journal_that_cannot_be_written_fails_only_what_has_to_be_recorded(
    pod: DualStack, tmp_path: Path
) -> None:
    """A repair needs no new record where all our chains are still there."""
    after = await pod.capture(record())
    (tmp_path / "journal.json").unlink()
    (tmp_path / "journal.json").mkdir()
    pod.backend.tamper(Family.IPV4, lambda _: NatTable())
    pod.backend.tamper(Family.IPV6, with_inserted_rule)
    after = await pod.capture(after)
    assert after.finding.reason == "JournalUnwritable"
    assert after.finding.message.startswith("IPv4: ")
    assert pod.backend.holds(Family.IPV6)
    assert not pod.backend.holds(Family.IPV4)


async def test_both_tables_are_recorded_before_they_are_written(
    pod: DualStack, tmp_path: Path
) -> None:
    """Without a record of both, nothing is written to either."""
    (tmp_path / "journal.new").mkdir()
    after = await pod.capture(record())
    assert after.finding.reason == "JournalUnwritable"
    assert pod.backend.writes == 0
    (tmp_path / "journal.new").rmdir()
    after = await pod.capture(after)
    journal = Journal(tmp_path / "journal.json", "boot")
    assert journal.families(DUAL_STACK.key) == set(Family)
