"""One cluster per machine."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from local_cluster import lock
from local_cluster.errors import LocalClusterError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the lock is."""
    return tmp_path / "lock"


def test_without_a_cluster_nobody_holds_it(path: Path) -> None:
    """Neither before the first cluster nor after the last."""
    assert lock.holder(path) is None

    os.close(lock.take(Path("/src"), path))

    assert lock.holder(path) is None


def test_a_second_cluster_is_refused_and_the_first_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the command that stops the other."""
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0.0)
    held = lock.take(Path("/src/one"), path)

    with pytest.raises(LocalClusterError, match="make -C /src/one cluster-down"):
        lock.take(Path("/src/two"), path)

    assert lock.holder(path) == Path("/src/one")
    os.close(held)


def test_the_lock_is_held_as_long_as_the_process_that_inherited_it(path: Path) -> None:
    """The command that started the node ends at once; killing the node frees the lock."""
    held = lock.take(Path("/src"), path)
    with subprocess.Popen(["sleep", "60"], pass_fds=[held]) as node:
        os.close(held)
        assert lock.holder(path) == Path("/src")
        node.send_signal(signal.SIGKILL)

    assert lock.holder(path) is None


def test_a_shorter_name_replaces_a_longer_one(path: Path) -> None:
    """Nothing of the last holder's name is left."""
    os.close(lock.take(Path("/a/long/name"), path))
    held = lock.take(Path("/b"), path)

    assert lock.holder(path) == Path("/b")
    os.close(held)
