"""Who changed a pod's rules, as far as the kernel tells. Evidence, no proof.

nf_tables says which process committed a change: its PID and the name that it had given itself. The
process may have ended by the time that it is looked up; its container is told if it has not.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from capture_agent.processes import PROC
from capture_nat.rule_text import readable

_CONTAINER: Final = re.compile(r"([0-9a-f]{12})[0-9a-f]{52}(?:\.scope)?\s*\Z")


def cgroup_of(pid: int, proc: Path = PROC) -> str:
    """Read a process's cgroups; "" if it is gone."""
    try:
        # Unbuffered and without pathlib: it is read before the repair of what the process did.
        with open(f"{proc}/{pid}/cgroup", "rb", buffering=0) as file:  # noqa: PTH123
            return (file.read() or b"").decode("ascii", "replace")
    except OSError:
        return ""


def actor(pid: int, comm: str, cgroup: Callable[[int], str] = cgroup_of) -> str:
    """Name a process for the status, e.g. `iptables (pid 4242, container 0123456789ab)`."""
    container = _CONTAINER.search(cgroup(pid))
    where = f", container {container[1]}" if container else ""
    return readable(f"{comm} (pid {pid}{where})")
