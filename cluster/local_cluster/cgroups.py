"""The cgroup that holds a node's pods, on hosts with cgroup v1, v2 or both."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local_cluster.errors import LocalClusterError
from local_cluster.node import CGROUP_PREFIX, Node

KUBELET_CONTROLLERS = ("cpu", "cpuset", "hugetlb", "io", "memory", "pids")
REMOVAL_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A mounted cgroup hierarchy; `version` is 1 or 2."""

    path: Path
    version: int


def hierarchies(mounts: str) -> list[Hierarchy]:
    """Return the cgroup hierarchies in the text of /proc/mounts."""
    versions = {"cgroup": 1, "cgroup2": 2}
    entries = [line.split() for line in mounts.splitlines()]
    return [
        Hierarchy(Path(target), versions[kind])
        for _, target, kind, *_ in entries
        if kind in versions
    ]


def mounted_hierarchies() -> list[Hierarchy]:
    """Return this machine's cgroup hierarchies.

    Raises:
        LocalClusterError: there is none.
    """
    found = hierarchies(Path("/proc/self/mounts").read_text())
    if not found:
        raise LocalClusterError("no cgroup hierarchy is mounted below /sys/fs/cgroup")
    return found


def create(node: Node) -> None:
    """Make the node's cgroup everywhere, with every controller that the kubelet looks for."""
    found = mounted_hierarchies()
    v1 = [hierarchy for hierarchy in found if hierarchy.version == 1]
    for hierarchy in v1 or found:
        if hierarchy.version == 1:
            create_v1(hierarchy.path / node.cgroup)
        else:
            create_v2(hierarchy.path, node.cgroup)


def create_v1(folder: Path) -> None:
    """Make a cgroup in a v1 hierarchy."""
    folder.mkdir(exist_ok=True)
    for name in ("cpuset.cpus", "cpuset.mems"):  # empty in a new cpuset, and then nothing may run
        inherited = folder.parent / name
        if inherited.exists():
            (folder / name).write_text(inherited.read_text())


def create_v2(root: Path, name: str) -> None:
    """Make a cgroup below the root of the v2 hierarchy.

    Raises:
        LocalClusterError: a controller isn't to be had for it.
    """
    offered = (root / "cgroup.controllers").read_text().split()
    for controller in (name for name in KUBELET_CONTROLLERS if name in offered):
        try:
            (root / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError as error:
            message = f"{root} can't hand the controller {controller} down: {error.strerror}"
            raise LocalClusterError(message) from error
    (root / name).mkdir(exist_ok=True)


def existing_cgroups() -> list[Path]:
    """Return every cgroup directory of any node, alive or left over."""
    roots = [hierarchy.path for hierarchy in mounted_hierarchies()]
    return [folder for root in roots for folder in sorted(root.glob(f"{CGROUP_PREFIX}*"))]


def remove_cgroups(found: Sequence[Path]) -> None:
    """End every process in these cgroups, and remove them.

    Raises:
        LocalClusterError: one can't be removed.
    """
    deadline = time.monotonic() + REMOVAL_SECONDS
    while remaining := [folder for folder in found if folder.exists()]:
        for folder in remaining:
            _kill_members(folder)
            _remove_tree(folder)
        if time.monotonic() > deadline:
            raise LocalClusterError(f"cgroups can't be removed, something runs in them: {found}")
        time.sleep(0.02)  # a killed process leaves its cgroup a moment later; nothing tells when


def _kill_members(folder: Path) -> None:
    for members in folder.rglob("cgroup.procs"):
        for pid in _read(members).split():
            _kill(int(pid))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the cgroup went meanwhile
        return ""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _remove_tree(folder: Path) -> None:
    folders = [Path(path) for path, _, _ in os.walk(folder, topdown=False)]
    for each in folders:
        try:
            each.rmdir()
        except OSError:  # busy or gone: the caller looks again
            continue
