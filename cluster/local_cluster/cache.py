"""What is built once per user: folders named by their inputs, used only when they are whole."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from local_cluster.commands import run
from local_cluster.privilege import as_root
from local_cluster.progress import say

COMPLETE = ".complete"


def cache_root() -> Path:
    """Return this user's cache folder of the project."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "traffic-capture"


def key(*inputs: str | bytes) -> str:
    """Return a short name for these inputs, in this order; no two lists share one."""
    digest = hashlib.sha256()
    for item in inputs:
        data = item.encode() if isinstance(item, str) else item
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()[:16]


def key_of_files(root: Path, files: Iterable[Path]) -> str:
    """Return a key of the files' contents and of their paths relative to a root."""
    parts = [(str(path.relative_to(root)), path.read_bytes()) for path in sorted(files)]
    return key(*(item for part in parts for item in part))


def built(kind: str, name: str, build: Callable[[Path], None]) -> Path:
    """Return the cached folder `kind/name`; if there is none, have `build` fill it.

    A mark that is set last tells a whole folder from what a killed build left, which is removed.
    It is built in its place, not renamed into it, since scripts in virtual environments hold
    their own path. A second process that wants the same waits for the first.
    """
    folder = cache_root() / kind / name
    mark = folder / COMPLETE
    if mark.exists():
        return folder
    with locked(folder.with_name(f".{name}.lock")):
        if not mark.exists():
            _remove(folder)
            folder.mkdir()
            build(folder)
            mark.touch()
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, saying so if another process has it first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"  waiting for another process that holds {path}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove(folder: Path) -> None:
    if not folder.exists():
        return
    try:
        shutil.rmtree(folder)
    except PermissionError:  # parts of a base image belong to root
        run(as_root(["rm", "-rf", "--one-file-system", folder]))
