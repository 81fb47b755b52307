"""The checkpoint on disk: whole or as it was before, and for one boot of the node."""

import asyncio
import logging
from pathlib import Path

import pytest
from msgspec.structs import replace

from capture_agent.checkpoint_file import PAUSE, CheckpointFile
from capture_agent.checkpoints import Checkpoint, checkpoint_of
from capture_agent.records import Drift, Finding
from capture_agent.repair_backoff import RepairBackoff
from capture_api.captures import LastDrift
from capture_api.node_captures import NetnsIdentity, PastDrift, PodState
from capture_api.programs import IpFamily
from capture_nat.drift import Difference, DriftKind
from capture_nat.families import Family
from unit.capture_agent.captures import CAPTURE_UID, record
from unit.capture_agent.test_checkpoints import PROGRAMS

FULL = checkpoint_of(
    [
        replace(
            record(),
            finding=Finding(PodState.DRIFTED, "RuleMissing", "why"),
            held_by=CAPTURE_UID,
            held_hash="0123456789abcdef",
            held_in=NetnsIdentity(device=4, inode=4026532001),
            held_families=(IpFamily.IPV4,),
            backend="nft",
            detected=3,
            repaired=2,
            counted=(Drift(Family.IPV4, Difference.of(DriftKind.RULE_MISSING, "X", "-A X")),),
            last_drift=LastDrift(time="2026-01-01T00:00:00Z", pod="web", kind="RuleMissing"),
            backoff=RepairBackoff(last_repair=12.5, delay=0.2),
        )
    ],
    (PastDrift(capture_uid=CAPTURE_UID, detected=1, repaired=1),),
    PROGRAMS,
)


def test_the_next_agent_reads_what_this_one_wrote(tmp_path: Path) -> None:
    """Everything, down to which drift was counted."""
    CheckpointFile(tmp_path / "dispatch.json", "boot").write(FULL)
    assert CheckpointFile(tmp_path / "dispatch.json", "boot").read() == FULL


def test_without_a_file_nothing_is_known(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """That is a first start, and no reason to warn."""
    assert CheckpointFile(tmp_path / "dispatch.json", "boot").read() == Checkpoint()
    assert caplog.records == []


def test_the_file_of_another_boot_is_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And that is said."""
    CheckpointFile(tmp_path / "dispatch.json", "boot").write(FULL)
    assert CheckpointFile(tmp_path / "dispatch.json", "other").read() == Checkpoint()
    assert "another boot" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"\xff\x00",
        b'{"boot_id": "boot"}',
        b'{"boot_id": "boot", "checkpoint": {"records": [{}]}}',
        b'{"boot_id": 1, "checkpoint": {}}',
    ],
)
def test_a_file_that_cannot_be_read_is_ignored_and_replaced(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning that names it."""
    path = tmp_path / "dispatch.json"
    path.write_bytes(content)
    file = CheckpointFile(path, "boot")
    assert file.read() == Checkpoint()
    assert str(path) in caplog.text
    file.write(FULL)
    assert file.read() == FULL


def test_what_is_new_is_written_and_then_only_after_a_pause(tmp_path: Path) -> None:
    """Whatever becomes new during the pause goes into one write."""

    async def scenario() -> None:
        paused: asyncio.Queue[float] = asyncio.Queue()
        go_on = asyncio.Event()

        async def sleep(seconds: float) -> None:
            paused.put_nowait(seconds)
            await go_on.wait()

        file = CheckpointFile(tmp_path / "dispatch.json", "boot", sleep)
        current = Checkpoint()
        task = asyncio.create_task(file.run(lambda: current))
        file.outdated()
        assert await paused.get() == PAUSE
        current = FULL
        file.outdated()
        file.outdated()
        await asyncio.sleep(0)
        assert file.read() == Checkpoint()
        go_on.set()
        await paused.get()
        assert file.read() == FULL
        assert paused.empty()
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(scenario())


def test_a_write_that_fails_is_logged_and_the_next_one_succeeds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk stops no agent."""

    async def scenario() -> None:
        written = asyncio.Queue[None]()

        async def sleep(_: float) -> None:
            written.put_nowait(None)

        file = CheckpointFile(tmp_path / "state" / "dispatch.json", "boot", sleep)
        task = asyncio.create_task(file.run(lambda: FULL))
        file.outdated()
        await written.get()
        assert [entry.levelno for entry in caplog.records] == [logging.WARNING]
        (tmp_path / "state").mkdir()
        file.outdated()
        await written.get()
        assert file.read() == FULL
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(scenario())
