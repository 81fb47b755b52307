"""Who changed a pod's rules, as far as the kernel tells. Evidence, no proof.

nf_tables says which process committed a change: its PID and the name that it had given itself. The
process may have ended by the time that it is looked up; its container is told if it has not. That
comes before the repair of what it did, so it is quick, and what it says is read later.
"""

import os
from typing import Final

import msgspec

from capture_agent.processes import PROC
from capture_nat.rule_text import readable

_ID: Final = 64
_SHOWN: Final = 12
"""Digits of a container's ID, and those that `crictl ps` shows."""
_DIGITS: Final = b"0123456789abcdef"
_LONGEST: Final = 1 << 14
_PROC: Final = str(PROC)


def cgroup_of(pid: int) -> bytes:
    """Read a process's cgroups; empty if it is gone."""
    try:
        descriptor = os.open(f"{_PROC}/{pid}/cgroup", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _LONGEST)
    except ProcessLookupError:
        return b""
    finally:
        os.close(descriptor)


class Actor(msgspec.Struct, frozen=True):
    """A process, and its cgroups while it could still be looked up.

    As a text it is named for the status, e.g. `iptables (pid 4242, container 0123456789ab)`.
    """

    pid: int
    comm: str
    cgroup: bytes = b""

    def __str__(self) -> str:
        container = _container(self.cgroup)
        where = f", container {container[:_SHOWN]}" if container else ""
        return readable(f"{self.comm} (pid {self.pid}{where})")


def _container(cgroup: bytes) -> str:
    """Find the ID with which a path ends; each controller may have a path of its own."""
    for line in cgroup.split(b"\n"):
        name = line.removesuffix(b".scope")[-_ID:]
        if len(name) == _ID and not name.strip(_DIGITS):
            return name.decode("ascii")
    return ""
