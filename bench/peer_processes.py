"""The programs of `bench/peers`, each in a process of its own with our modules on its path."""

import os
import subprocess
import sys
from pathlib import Path

_PEERS = Path(__file__).parent / "peers"


def started_peer(
    name: str, *arguments: str, stdout: int | None = None
) -> "subprocess.Popen[bytes]":
    """Start one; whoever does so ends it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    argv = [sys.executable, str(_PEERS / name), *arguments]
    return subprocess.Popen(argv, stdout=stdout, env=environment)
