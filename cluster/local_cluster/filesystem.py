"""What the file system below a folder can do."""

from pathlib import Path

from local_cluster.commands import run


def is_overlay(folder: Path) -> bool:
    """Say whether a folder is on overlayfs, as in a container: no second one can lie on it."""
    return run(["stat", "--file-system", "--format=%T", folder]).strip() == "overlayfs"
