"""`iptables-legacy-save -t nat` and `iptables-legacy-restore --noflush`, by python-iptables.

A program of its own, for one look or one transaction in the network namespace that it is started
in: `python -m capture_agent.python_iptables_child save|restore 4|6`. What can't be printed exactly
as iptables does ends it with an error: nothing may be concluded from half a table.
"""

import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from capture_agent.python_iptables_libraries import tell_libraries

LOCK: Final = Path("/run/xtables.lock")
"""What the legacy tools exclude each other by (iptables(8))."""
_EXTENSIONS: Final = ("/usr/lib/*/xtables", "/usr/lib*/xtables", "/lib*/xtables")


def main() -> int:
    """Do what the arguments say.

    Returns:
        0, or 1 with a line on standard error; then nothing was written.
    """
    _, command, version = sys.argv
    os.environ.setdefault("XTABLES_LIBDIR", next(_extension_folders(), ""))
    tell_libraries()
    # After all that the library reads when it is imported.
    from capture_agent.python_iptables_tables import FAILURES, LegacyTable  # noqa: PLC0415

    try:
        if command == "save":
            print(LegacyTable(version).saved(), end="")  # noqa: T201 - a program's output
        else:
            with LOCK.open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                LegacyTable(version).restore(sys.stdin.read())
    except FAILURES as error:
        sys.stderr.write(f"python-iptables: {error!s:.256}\n")
        return 1
    return 0


def _extension_folders() -> Iterator[str]:
    for pattern in _EXTENSIONS:
        for folder in sorted(Path("/").glob(pattern.removeprefix("/"))):
            yield str(folder)


if __name__ == "__main__":
    sys.exit(main())
