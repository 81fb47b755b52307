"""What is built once per user: folders named by their inputs, made whole or not at all."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from local_cluster.progress import say


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
    """Return the cached folder `kind/name`; if there is none, have `build` fill a new one.

    Built beside its place and renamed into it, so a killed build leaves nothing that looks whole.
    A second process that wants the same waits for the first.
    """
    folder = cache_root() / kind / name
    if folder.exists():
        return folder
    with locked(folder.with_name(f".{name}.lock")):
        if not folder.exists():
            _build(folder, build)
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


def _build(folder: Path, build: Callable[[Path], None]) -> None:
    for abandoned in folder.parent.glob(f".{folder.name}.new-*"):
        shutil.rmtree(abandoned)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.new-", dir=folder.parent))
    draft.chmod(0o755)
    try:
        build(draft)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
