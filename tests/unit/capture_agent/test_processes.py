"""Processes are read from /proc, whatever they call themselves and whenever they end."""

import os
from pathlib import Path

import pytest

from capture_agent.processes import netns_of, pod_processes, read_process

UID = "0f7f1f0e-6a53-4c0b-9d0e-2f4ad3c0ffee"
CGROUP = f"0::/kubepods/pod{UID}/c\n".encode()


def add_process(
    proc: Path, pid: int, *, comm: bytes = b"app", start_time: int = 99, cgroup: bytes = CGROUP
) -> Path:
    """Write a process into a /proc of files."""
    directory = proc / str(pid)
    (directory / "ns").mkdir(parents=True)
    (directory / "ns" / "net").touch()
    (directory / "cgroup").write_bytes(cgroup)
    numbers = b" ".join(b"%d" % number for number in range(4, 22))
    (directory / "stat").write_bytes(b"%d (%s) S %s %d 0" % (pid, comm, numbers, start_time))
    return directory


@pytest.mark.parametrize(
    "comm",
    [b"app", b"a b", b") S 1 2 3", b"((", b"a\nb", b"\xff\xfe", b"\xc3", b"", b") R 0 0 0 0 0 (x"],
)
def test_a_process_is_read_whatever_it_calls_itself(tmp_path: Path, comm: bytes) -> None:
    """Any process of any pod chooses its comm: one that can't be read would blind the node."""
    add_process(tmp_path, 7, comm=comm, start_time=4242)
    process = read_process(7, tmp_path)
    assert process is not None
    assert (process.pid, process.start_time, process.pod_uid) == (7, 4242, UID)


def test_a_cgroup_with_any_bytes_in_its_name_is_read(tmp_path: Path) -> None:
    """A container with a cgroup of its own names those below it."""
    add_process(tmp_path, 7, cgroup=CGROUP.rstrip() + b"/\xff\xfe\n")
    process = read_process(7, tmp_path)
    assert process is not None
    assert process.pod_uid == UID


@pytest.mark.parametrize("lost", ["cgroup", "stat", "ns/net"])
def test_a_process_that_ends_while_it_is_read_is_gone(tmp_path: Path, lost: str) -> None:
    """Whichever file was the first to go."""
    (add_process(tmp_path, 7) / lost).unlink()
    add_process(tmp_path, 8)
    assert read_process(7, tmp_path) is None
    assert [process.pid for process in pod_processes(tmp_path)] == [8]


def test_processes_of_no_pod_are_left_out(tmp_path: Path) -> None:
    """So is what is no process at all."""
    add_process(tmp_path, 1, cgroup=b"0::/init.scope\n")
    (tmp_path / "sys").mkdir()
    assert list(pod_processes(tmp_path)) == []


def test_the_netns_of_this_process_is_what_the_kernel_says() -> None:
    """Device and inode of the nsfs file behind the link."""
    identity = netns_of(os.getpid())
    assert str(Path("/proc/self/ns/net").readlink()) == f"net:[{identity.inode}]"
