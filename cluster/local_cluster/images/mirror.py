"""Where this machine gets its own distribution from: its suite, mirror and components."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass

from local_cluster.commands import run
from local_cluster.errors import LocalClusterError

USED_COMPONENTS = ("main", "universe")


@dataclass(frozen=True, slots=True)
class Mirror:
    """What debootstrap has to know."""

    suite: str
    url: str
    components: tuple[str, ...]


def machine_suite() -> str:
    """Return the code name of this machine's distribution, such as `bookworm` or `noble`."""
    name = platform.freedesktop_os_release().get("VERSION_CODENAME")
    if not name:
        raise LocalClusterError("/etc/os-release names no VERSION_CODENAME: not Debian or Ubuntu")
    return name


def machine_mirror() -> Mirror:
    """Return where apt gets this machine's suite from."""
    template = "$(RELEASE) $(SITE) $(COMPONENT)"
    command = ["apt-get", "indextargets", "--format", template, "Created-By: Packages"]
    return choose(machine_suite(), run(command).splitlines())


def choose(suite: str, targets: Sequence[str]) -> Mirror:
    """Pick the first mirror of a suite among `release site component` lines.

    Raises:
        LocalClusterError: apt has no source for the suite.
    """
    matching = [line.split() for line in targets if line.startswith(f"{suite} ")]
    if not matching:
        raise LocalClusterError(f"apt's sources don't have {suite}: debootstrap needs a mirror")
    url = matching[0][1]
    offered = {component for _, site, component in matching if site == url}
    return Mirror(suite, url, tuple(name for name in USED_COMPONENTS if name in offered))
