"""PID 1 of a node: it says which part died, and restarts what a service manager would."""

import os
import signal
from pathlib import Path

import pytest

from local_cluster.errors import LocalClusterError
from local_cluster.health import node_health
from local_cluster.parts import Part
from local_cluster.supervisor import Supervisor, ending


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    """Return a supervisor with no parts yet."""
    return Supervisor(tmp_path, tmp_path / "parts.json")


def test_a_part_that_dies_ends_the_wait(supervisor: Supervisor) -> None:
    """Nothing waits for what can't come any more; the report says how the part ended."""
    supervisor.start(_shell("etcd", "kill -9 $$"))

    with pytest.raises(LocalClusterError, match="etcd ended while waiting for the API server"):
        supervisor.wait_for("the API server", lambda: False, 30)

    assert node_health(supervisor.report).ended == {"etcd": "signal 9"}


def test_what_a_part_writes_is_in_its_log(supervisor: Supervisor) -> None:
    """Both streams."""
    supervisor.run_to_end(_shell("import", "echo out; echo err >&2"))

    assert (supervisor.logs / "import.log").read_text() == "out\nerr\n"


def test_a_step_that_fails_is_an_error(supervisor: Supervisor) -> None:
    """The message names it."""
    with pytest.raises(LocalClusterError, match="import ended with exit status 3"):
        supervisor.run_to_end(_shell("import", "exit 3"))


def test_a_step_that_succeeded_is_not_a_dead_part(supervisor: Supervisor) -> None:
    """It was to end."""
    supervisor.run_to_end(_shell("import", "true"))

    assert node_health(supervisor.report).parts == {}


def test_a_part_that_runs_is_reported_as_running(supervisor: Supervisor) -> None:
    """Until somebody ends it."""
    pid = supervisor.start(_shell("etcd", "exec sleep 60"))
    running = node_health(supervisor.report).parts
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(LocalClusterError):
        supervisor.wait_for("its end", lambda: False, 30)

    assert running == {"etcd": "running"}
    assert node_health(supervisor.report).parts == {"etcd": "signal 9"}


def test_nothing_is_known_before_the_first_report(tmp_path: Path) -> None:
    """That is not an error: the node is starting."""
    health = node_health(tmp_path / "parts.json")

    assert (health.phase, health.parts) == ("starting", {})


@pytest.mark.parametrize(
    ("status", "text"),
    [(0, "exit status 0"), (2 << 8, "exit status 2"), (signal.SIGTERM, "signal 15")],
)
def test_a_wait_status_is_told_in_words(status: int, text: str) -> None:
    """As `waitpid` returns it."""
    assert ending(status) == text


def test_a_part_that_a_service_manager_restarts_is_started_again(supervisor: Supervisor) -> None:
    """Once the node runs; while it starts, its end is an error like any other's."""
    supervisor.phase = "running"
    first = supervisor.start(Part("kubelet", ("sleep", "60"), restarts=True))
    os.kill(first, signal.SIGKILL)
    while first in supervisor.running:
        supervisor._reap(0)
    (second,) = supervisor.running
    os.kill(second, signal.SIGKILL)
    os.waitpid(second, 0)

    assert second != first
    assert node_health(supervisor.report).parts == {"kubelet": "running"}


def _shell(name: str, script: str) -> Part:
    return Part(name, ("/bin/sh", "-c", script))
