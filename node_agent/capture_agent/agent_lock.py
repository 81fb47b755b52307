"""The lock that keeps a second agent off a node."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class StartError(Exception):
    """The agent can't start; the message says what is missing."""


@contextlib.contextmanager
def only_agent(state_dir: Path) -> Iterator[None]:
    """Hold the lock that keeps a second agent off this node; its file goes with its last holder."""
    path = state_dir / "agent.lock"
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError as error:
        raise StartError(f"--state-dir {state_dir}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartError(f"another agent holds {path} on this node") from error
        if not _is_file_of(lock.fileno(), path):
            raise StartError(f"another agent has just removed {path}: start again")
        yield
        with contextlib.suppress(OSError):
            path.unlink()


def _is_file_of(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
