"""Legacy tables where the command-line tools for them are absent: by python-iptables, in a child.

Its cache of tables is the process's and keyed by their names alone: after another namespace was
entered it would go on reading and writing the one before. So neither the agent nor the broker ever
imports it. The broker runs `capture_agent.python_iptables_child` in the pod's namespace as it runs
a tool, a new one each time; that reads and prints what `iptables-legacy-restore` and
`iptables-legacy-save` do.
"""

import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from capture_agent.broker_programs import PATH
from capture_nat.families import Family

LEGACY: Final = "iptables-legacy"
PYTHON_IPTABLES: Final = "python-iptables"

_TOOL: Final = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}
_VERSION: Final = {Family.IPV4: "4", Family.IPV6: "6"}
_LOCK_SECONDS: Final = "5"  # legacy tools exclude each other by a lock file
_CHILD: Final = ("-I", "-m", "capture_agent.python_iptables_child")


@dataclass(frozen=True, slots=True)
class LegacyTools:
    """The commands that read and write legacy tables; `variant` names them in the status."""

    variant: str = LEGACY

    def save(self, family: Family) -> tuple[str, ...]:
        """Print the nat table as `iptables-save` does."""
        if self.variant == PYTHON_IPTABLES:
            return (sys.executable, *_CHILD, "save", _VERSION[family])
        return (f"{_TOOL[family]}-legacy-save", "-t", "nat")

    def restore(self, family: Family) -> tuple[str, ...]:
        """Do what the input says, as one transaction, as `iptables-restore --noflush` does."""
        if self.variant == PYTHON_IPTABLES:
            return (sys.executable, *_CHILD, "restore", _VERSION[family])
        return (f"{_TOOL[family]}-legacy-restore", "--noflush", "-w", _LOCK_SECONDS)


def legacy_tools(path: str = PATH) -> LegacyTools:
    """Choose the tools on a PATH; python-iptables if they are not there and it is."""
    is_absent = shutil.which("iptables-legacy-save", path=path) is None
    has_library = find_spec("iptc") is not None
    return LegacyTools(PYTHON_IPTABLES if is_absent and has_library else LEGACY)
