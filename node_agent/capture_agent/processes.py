"""Processes as /proc shows them: start time, pod, network namespace.

Every read can lose the race against the process's end; that is no error, the process is gone.
What a process may choose itself (its comm, the names of cgroups below its own) can hold any byte.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from capture_agent.cgroups import pod_uid
from capture_api.node_captures import NetnsIdentity

PROC = Path("/proc")

_STARTTIME = 19  # field 22 of proc(5)'s stat, counted from the state that follows the comm


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a pod. PID and start time (clock ticks since boot) name it uniquely."""

    pid: int
    start_time: int
    pod_uid: str
    netns: NetnsIdentity


def pod_processes(proc: Path = PROC) -> Iterator[Process]:
    """List the live processes that belong to a pod."""
    for entry in os.scandir(proc):
        if entry.name.isdecimal():
            process = read_process(int(entry.name), proc)
            if process is not None:
                yield process


def read_process(pid: int, proc: Path = PROC) -> Process | None:
    """Read one process; None if it is gone, is a zombie's shell, or belongs to no pod."""
    try:
        uid = pod_uid(_read(f"{proc}/{pid}/cgroup"))
        if uid is None:
            return None
        return Process(
            pid=pid,
            start_time=_start_time(_read(f"{proc}/{pid}/stat")),
            pod_uid=uid,
            netns=netns_of(pid, proc),
        )
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        # EACCES is what the kernel says of a process that ends while its `ns` links are followed.
        return None


def netns_of(pid: int, proc: Path = PROC) -> NetnsIdentity:
    """Identify the network namespace of a process (the host's is that of pid 1).

    Raises:
        FileNotFoundError: the process is gone, or dead and not yet waited for.
    """
    return netns_identity(os.stat(f"{proc}/{pid}/ns/net"))  # noqa: PTH116 - follows nsfs


def netns_identity(stat: os.stat_result) -> NetnsIdentity:
    """Identify a network namespace by the status of its nsfs file."""
    return NetnsIdentity(device=stat.st_dev, inode=stat.st_ino)


def _read(path: str) -> str:
    # Unbuffered and without pathlib: a node has thousands of processes.
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        return (file.read() or b"").decode("ascii", "replace")


def _start_time(stat: str) -> int:
    # The comm may hold spaces and parentheses: fields are counted after the last one.
    return int(stat.rpartition(")")[2].split()[_STARTTIME])
