"""What a cluster that was killed left behind, of this checkout or of another one.

Only called while we hold the machine's lock, so none of it can belong to a living cluster, or for
one node whose lock we hold. The processes died with the node's PID 1; what remains is told by its
name.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from local_cluster import cgroups, links
from local_cluster.checkout import Checkout
from local_cluster.commands import run
from local_cluster.node import Node


def clear(checkout: Checkout) -> list[str]:
    """Remove links, cgroups, mounts and the state of this checkout's former cluster.

    Returns:
        What there was, in words.
    """
    removed = [f"link {name}" for name in links.remove_links(links.existing_links())]
    removed += _clear_cgroups(cgroups.existing_cgroups())
    removed += _clear_mounts(checkout.state)
    for path in stale_state(checkout):
        if path.exists():
            remove(path)
            removed.append(str(path.relative_to(checkout.root)))
    return removed


def clear_node(checkout: Checkout, node: Node) -> None:
    """Remove what an ended node left behind in a cluster that runs.

    Its `/var` stays, as the disk of a machine does that was switched off.
    """
    links.remove_links([node.link])
    _clear_cgroups([path for path in cgroups.existing_cgroups() if path.name == node.cgroup])
    _clear_mounts(checkout.node(node).path)
    checkout.node(node).parts.unlink(missing_ok=True)


def stale_state(checkout: Checkout) -> list[Path]:
    """Return the paths in `.cluster/` that belong to a cluster's life and not to the next one."""
    folders = sorted(checkout.state.glob("node*"))
    return [*folders, checkout.control_plane, checkout.kubeconfig]


def mounts_below(folder: Path, mounts: str) -> list[Path]:
    """Return the mount points below a folder, innermost first, from the text of /proc/mounts."""
    targets = [Path(_unescaped(line.split()[1])) for line in mounts.splitlines()]
    below = [target for target in targets if folder in target.parents]
    return sorted(below, key=lambda target: len(target.parts), reverse=True)


def remove(path: Path) -> None:
    """Delete a file or a whole folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _clear_cgroups(found: Sequence[Path]) -> list[str]:
    cgroups.remove_cgroups(found)
    return [f"cgroup {name}" for name in dict.fromkeys(folder.name for folder in found)]


def _clear_mounts(folder: Path) -> list[str]:
    targets = mounts_below(folder, Path("/proc/self/mounts").read_text())
    for target in targets:
        run(["umount", "--lazy", target])
    return [f"mount {target}" for target in targets]


def _unescaped(target: str) -> str:
    # The kernel writes white space and backslashes of a path as octal escapes.
    return target.encode().decode("unicode_escape").encode("latin-1").decode()
