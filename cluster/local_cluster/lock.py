"""One local cluster per machine: a lock that lives as long as the first node's PID 1.

The command that starts a node takes the lock and hands the open file down to the node's PID 1.
The kernel frees it when that process ends, however it ends. The file's text names the checkout.
Each further node has a lock of its own of the same kind, which says that it lives.
"""

import fcntl
import os
import time
from pathlib import Path

from local_cluster.errors import LocalClusterError

LOCK = Path("/run/traffic-capture-cluster.lock")
PATIENCE_SECONDS = 1.0  # whoever only looks holds the lock for microseconds


def take(checkout: Path, lock: Path = LOCK) -> int:
    """Take the lock for a checkout and return the descriptor that holds it.

    Raises:
        LocalClusterError: a cluster runs; the message says whose and how to stop it.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _locked(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            os.close(descriptor)
            raise LocalClusterError(runs_elsewhere(Path(lock.read_text())))
        time.sleep(0.02)
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, bytes(checkout), 0)
    return descriptor


def holder(lock: Path = LOCK) -> Path | None:
    """Return the checkout whose cluster runs on this machine, None if no cluster does."""
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return None if _locked(descriptor, fcntl.LOCK_SH) else Path(lock.read_text())
    finally:
        os.close(descriptor)


def runs_elsewhere(checkout: Path) -> str:
    """Say that this machine's cluster is another checkout's, and how to stop it."""
    return (
        f"this machine runs the local cluster of {checkout}, and it can run one at a time.\n"
        f"Stop that one with: make -C {checkout} cluster-down"
    )


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
