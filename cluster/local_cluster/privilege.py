"""Root rights, asked for only by the steps that need them.

Builds run as the user, so that the caches are the user's; namespaces, links, cgroups and packages
need root.
"""

import os
import pwd
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from local_cluster.errors import LocalClusterError

KEPT_VARIABLES = ("HOME", "XDG_CACHE_HOME", "SSL_CERT_FILE", "http_proxy", "https_proxy")
ADMIN_PATHS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def is_root() -> bool:
    """Say whether this process may do everything itself."""
    return os.geteuid() == 0


def as_root(argv: Sequence[str | Path]) -> list[str]:
    """Put `sudo` ahead of a command unless we are root.

    Raises:
        LocalClusterError: we are not root and there is no sudo.
    """
    words = [str(word) for word in argv]
    if is_root():
        return words
    if shutil.which("sudo") is None:
        raise LocalClusterError("this step needs root: run it as root, or install `sudo`")
    return ["sudo", "env", *_kept(), *words]


def in_own_mounts(argv: Sequence[str | Path]) -> list[str]:
    """Return the command that runs `argv` as root so that what it mounts ends with it."""
    return as_root(["unshare", "--mount", "--", *argv])


def this_module_as_root(*arguments: str) -> list[str]:
    """Return the command that runs `python3 -m local_cluster …` as root, caches kept the user's."""
    package_parent = Path(__file__).resolve().parent.parent
    python = [sys.executable, "-m", "local_cluster", *arguments]
    return as_root(["env", f"PYTHONPATH={package_parent}", *python])


def complete_path() -> None:
    """Add the administrator's folders to the PATH; Debian leaves them out of a user's."""
    path = os.environ.get("PATH", "").split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([*path, *(p for p in ADMIN_PATHS if p not in path)])


def _kept() -> list[str]:
    return [f"{name}={os.environ[name]}" for name in KEPT_VARIABLES if name in os.environ]


def give_to_invoker(path: Path) -> None:
    """Make a file that root wrote belong to the user who called sudo, if one did."""
    user = os.environ.get("SUDO_USER")
    if is_root() and user:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)
