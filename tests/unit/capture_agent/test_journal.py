"""The journal knows which chains are ours, for one boot of the node."""

from pathlib import Path

import pytest

from capture_agent.journal import MAX_LINES, Journal
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
    Journal(tmp_path / "j.json", "boot").record("pod/4:1", {IPV4: CHAINS})
    before = (tmp_path / "j.json").read_bytes()
    (tmp_path / "j.new").mkdir()
    journal = Journal(tmp_path / "j.json", "boot")
    for _ in range(2):
        with pytest.raises(OSError, match="directory"):
            journal.record("pod/4:1", {IPV4: frozenset()})
    assert journal.chains("pod/4:1", IPV4) == CHAINS
    assert (tmp_path / "j.json").read_bytes() == before


def test_a_line_that_cannot_be_added_is_not_on_record(tmp_path: Path) -> None:
    """The next attempt writes the file anew: half a line may be at its end."""
    journal = Journal(tmp_path / "j.json", "boot")
    journal.record("pod/4:1", {IPV4: CHAINS})
    (tmp_path / "j.json").unlink()
    (tmp_path / "j.json").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        journal.record("pod/4:2", {IPV4: CHAINS})
    assert journal.chains("pod/4:2", IPV4) == frozenset()
    journal.record("pod/4:2", {IPV4: CHAINS})
    again = Journal(tmp_path / "j.json", "boot")
    assert [again.chains(f"pod/4:{number}", IPV4) for number in (1, 2)] == [CHAINS, CHAINS]


def test_what_is_on_record_is_never_rewritten(tmp_path: Path) -> None:
    """A reader, or a crash, sees the old file, or more of it, or a new one."""
    journal = Journal(tmp_path / "j.json", "boot")
    journal.record("pod/4:1", {IPV4: CHAINS})
    with (tmp_path / "j.json").open("rb") as old:
        before = old.read()
        journal.record("pod/4:2", {IPV4: CHAINS})
        old.seek(0)
        more = old.read()
        assert more.startswith(before)
        Journal(tmp_path / "j.json", "boot").record("pod/4:3", {IPV4: CHAINS})
        old.seek(0)
        assert old.read() == more
    assert [path.name for path in tmp_path.iterdir()] == ["j.json"]


def test_an_agent_that_was_killed_while_it_added_a_line_loses_nothing_else(tmp_path: Path) -> None:
    """Wherever it was in the line; the next agent's lines do not follow half a one."""
    path = tmp_path / "j.json"
    journal = Journal(path, "boot")
    journal.record("pod/4:1", {IPV4: CHAINS})
    whole = len(path.read_bytes())
    journal.record("pod/4:1", {IPV4: frozenset()})
    content = path.read_bytes()
    for length in range(whole, len(content)):
        path.write_bytes(content[:length])
        after = Journal(path, "boot")
        assert after.chains("pod/4:1", IPV4) == CHAINS
        after.record("pod/4:2", {IPV4: CHAINS})
        after.record("pod/4:3", {IPV4: CHAINS})
        again = Journal(path, "boot")
        assert [again.families(f"pod/4:{number}") for number in (1, 2, 3)] == [{IPV4}] * 3


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    """However often a sandbox's chains come and go."""
    journal = Journal(tmp_path / "j.json", "boot")
    for number in range(2 * MAX_LINES + 10):
        journal.record("pod/4:1", {IPV4: CHAINS if number % 2 else frozenset({"ISTIO_OUTPUT"})})
        if number == MAX_LINES:
            assert len((tmp_path / "j.json").read_bytes().splitlines()) == MAX_LINES + 1
    assert len((tmp_path / "j.json").read_bytes().splitlines()) < MAX_LINES
    assert Journal(tmp_path / "j.json", "boot").chains("pod/4:1", IPV4) == CHAINS


def test_recording_the_same_again_writes_nothing(tmp_path: Path) -> None:
    """Every pass does it."""
    journal = Journal(tmp_path / "j.json", "boot")
    journal.record("pod/4:1", {IPV4: CHAINS})
    before = (tmp_path / "j.json").read_bytes()
    journal.record("pod/4:1", {IPV4: CHAINS})
    journal.record("pod/4:2", {IPV4: frozenset()})
    assert (tmp_path / "j.json").read_bytes() == before


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
    assert Journal(tmp_path / "j.json", "boot").families("pod/4:1") == set(Family)
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
