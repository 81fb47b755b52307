"""The journal knows which chains are ours, for one boot of the node."""

from pathlib import Path

import pytest

from capture_agent.journal import Journal
from capture_nat.families import Family

IPV4 = Family.IPV4
CHAINS = frozenset({"ISTIO_OUTPUT", "ISTIO_REDIRECT"})


def test_a_new_agent_knows_what_the_old_one_recorded(tmp_path: Path) -> None:
    """It may have been killed right after."""
    Journal(tmp_path / "j.json", "boot").record("pod/4:1", {IPV4: CHAINS})
    assert Journal(tmp_path / "j.json", "boot").chains("pod/4:1", IPV4) == CHAINS


def test_another_boot_begins_anew(tmp_path: Path) -> None:
    """The inode of a network namespace means nothing after it."""
    Journal(tmp_path / "j.json", "boot").record("pod/4:1", {IPV4: CHAINS})
    assert Journal(tmp_path / "j.json", "other").chains("pod/4:1", IPV4) == frozenset()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"boot_id": 7}', b"\xff\x00", b"null"])
def test_a_file_that_cannot_be_read_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    """And can be written again."""
    (tmp_path / "j.json").write_bytes(content)
    journal = Journal(tmp_path / "j.json", "boot")
    assert journal.chains("pod/4:1", IPV4) == frozenset()
    journal.record("pod/4:1", {IPV4: CHAINS})
    assert Journal(tmp_path / "j.json", "boot").chains("pod/4:1", IPV4) == CHAINS


def test_a_write_that_fails_leaves_the_file_and_the_memory_as_they_were(tmp_path: Path) -> None:
    """What was not written must not look recorded to the next attempt, which has to write it."""
    journal = Journal(tmp_path / "j.json", "boot")
    journal.record("pod/4:1", {IPV4: CHAINS})
    before = (tmp_path / "j.json").read_bytes()
    (tmp_path / "j.new").mkdir()
    for _ in range(2):
        with pytest.raises(OSError, match="directory"):
            journal.record("pod/4:1", {IPV4: frozenset()})
    assert journal.chains("pod/4:1", IPV4) == CHAINS
    assert (tmp_path / "j.json").read_bytes() == before


def test_the_file_is_replaced_never_rewritten(tmp_path: Path) -> None:
    """A reader, or a crash, sees the old one or the new one."""
    journal = Journal(tmp_path / "j.json", "boot")
    journal.record("pod/4:1", {IPV4: CHAINS})
    with (tmp_path / "j.json").open("rb") as old:
        before = old.read()
        journal.record("pod/4:2", {IPV4: CHAINS})
        assert (old.seek(0), old.read()) == (0, before)
    assert [path.name for path in tmp_path.iterdir()] == ["j.json"]


def test_recording_the_same_again_writes_nothing(tmp_path: Path) -> None:
    """Every pass does it."""
    journal = Journal(tmp_path / "j.json", "boot")
    journal.record("pod/4:1", {IPV4: CHAINS})
    inode = (tmp_path / "j.json").stat().st_ino
    journal.record("pod/4:1", {IPV4: CHAINS})
    journal.record("pod/4:2", {IPV4: frozenset()})
    assert (tmp_path / "j.json").stat().st_ino == inode


def test_the_records_of_sandboxes_that_are_gone_go(tmp_path: Path) -> None:
    """Else the file would grow with every pod that ever was."""
    journal = Journal(tmp_path / "j.json", "boot")
    for number in range(50):
        journal.record(f"pod/4:{number}", {IPV4: CHAINS})
    journal.forget_all_but(frozenset({"pod/4:7", "pod/4:99"}))
    again = Journal(tmp_path / "j.json", "boot")
    assert again.chains("pod/4:7", IPV4) == CHAINS
    assert again.chains("pod/4:8", IPV4) == frozenset()
    assert len((tmp_path / "j.json").read_bytes()) < 200


def test_each_family_has_its_own_chains(tmp_path: Path) -> None:
    """The tables of the two are two tables."""
    journal = Journal(tmp_path / "j.json", "boot")
    journal.record("pod/4:1", {IPV4: CHAINS})
    journal.record("pod/4:1", {Family.IPV6: frozenset({"OTHER_OUTPUT"})})
    journal.record("pod/4:1", {IPV4: frozenset()})
    assert journal.families("pod/4:1") == {Family.IPV6}
    assert journal.chains("pod/4:1", Family.IPV6) == {"OTHER_OUTPUT"}
    assert journal.families("pod/4:2") == frozenset()


def test_the_tables_of_a_sandbox_are_recorded_at_once(tmp_path: Path) -> None:
    """All of them or none, and those that are not named stay as they are."""
    journal = Journal(tmp_path / "j.json", "boot")
    journal.record("pod/4:1", {IPV4: CHAINS, Family.IPV6: CHAINS})
    (tmp_path / "j.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        journal.record("pod/4:1", {IPV4: CHAINS, Family.IPV6: frozenset()})
    assert Journal(tmp_path / "j.json", "boot").families("pod/4:1") == set(Family)
    (tmp_path / "j.new").rmdir()
    journal.record("pod/4:1", {IPV4: CHAINS, Family.IPV6: frozenset()})
    assert Journal(tmp_path / "j.json", "boot").families("pod/4:1") == {IPV4}


def test_an_empty_journal_can_go(tmp_path: Path) -> None:
    """An agent that ends with nothing of ours in any pod leaves no file behind."""
    journal = Journal(tmp_path / "j.json", "boot")
    journal.record("pod/4:1", {IPV4: CHAINS})
    assert not journal.is_empty
    journal.record("pod/4:1", {IPV4: frozenset()})
    assert journal.is_empty
    journal.remove()
    journal.remove()
    assert list(tmp_path.iterdir()) == []
