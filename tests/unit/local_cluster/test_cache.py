"""What is cached is whole, made once, and made again when an input changed."""

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_cluster.cache import built, key, key_of_files


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "traffic-capture"


def test_the_second_time_nothing_is_built() -> None:
    """The folder of the first time is returned."""
    first = built("bin", "a", lambda folder: (folder / "tool").touch())
    second = built("bin", "a", _must_not_run)

    assert first == second
    assert (second / "tool").exists()


def test_what_a_killed_build_left_is_removed(cache: Path) -> None:
    """Half a result is never used, and nothing of it stays."""
    half = cache / "bin" / "a"
    half.mkdir(parents=True)
    (half / "half").touch()

    folder = built("bin", "a", lambda folder: (folder / "whole").touch())

    assert not (folder / "half").exists()
    assert (folder / "whole").exists()


def test_a_failed_build_is_tried_again() -> None:
    """Its error is the caller's, and the next call builds."""
    with pytest.raises(OSError, match="no space"):
        built("bin", "a", _fail)

    assert (built("bin", "a", lambda folder: (folder / "tool").touch()) / "tool").exists()


def test_two_at_once_build_once() -> None:
    """The second waits for the first and uses its result."""
    builds: list[Path] = []
    first_is_building, go_on = threading.Event(), threading.Event()

    def build(folder: Path) -> None:
        builds.append(folder)
        first_is_building.set()
        assert go_on.wait(10)

    threads = [threading.Thread(target=built, args=("bin", "a", build)) for _ in range(2)]
    threads[0].start()
    assert first_is_building.wait(10)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join()

    assert len(builds) == 1


def test_a_file_that_changes_changes_the_key(tmp_path: Path) -> None:
    """Its contents and its name count, the folder that it is in does not."""
    one, other = tmp_path / "one", tmp_path / "other"
    keys = []
    for folder, name, text in [
        (one, "a", "x"),
        (other, "a", "x"),
        (one, "b", "x"),
        (one, "a", "y"),
    ]:
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        keys.append(key_of_files(folder, [folder / name]))

    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3))
def test_different_inputs_have_different_keys(one: list[str], other: list[str]) -> None:
    """Where one input ends and the next begins counts, too."""
    assert (key(*one) == key(*other)) == (one == other)


def _must_not_run(_folder: Path) -> None:
    raise AssertionError("it is cached")


def _fail(folder: Path) -> None:
    (folder / "half").touch()
    raise OSError("no space left")
