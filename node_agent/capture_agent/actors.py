"""Who changed a pod's rules, as far as the kernel tells. Evidence, no proof.

nf_tables says which process committed a change: its PID and the name that it had given itself. The
process may have ended by the time that it is looked up; its container is told if it has not. That
comes before the repair of what it did, so it is quick.
"""

import os
from collections.abc import Callable
from typing import Final

from capture_agent.processes import PROC
from capture_nat.rule_text import readable

_ID: Final = 64
_SHOWN: Final = 12
"""Digits of a container's ID, and those that `crictl ps` shows."""
_DIGITS: Final = b"0123456789abcdef"
_LONGEST: Final = 1 << 14


def cgroup_of(pid: int) -> bytes:
    """Read a process's cgroups; empty if it is gone."""
    try:
        descriptor = os.open(f"{PROC}/{pid}/cgroup", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _LONGEST)
    except ProcessLookupError:
        return b""
    finally:
        os.close(descriptor)


def actor(pid: int, comm: str, cgroup: Callable[[int], bytes] = cgroup_of) -> str:
    """Name a process for the status, e.g. `iptables (pid 4242, container 0123456789ab)`."""
    container = _container(cgroup(pid))
    where = f", container {container[:_SHOWN]}" if container else ""
    return readable(f"{comm} (pid {pid}{where})")


def _container(cgroup: bytes) -> str:
    """Find the ID with which a path ends; each controller may have a path of its own."""
    for line in cgroup.split(b"\n"):
        name = line.removesuffix(b".scope")[-_ID:]
        if len(name) == _ID and not name.strip(_DIGITS):
            return name.decode("ascii")
    return ""
