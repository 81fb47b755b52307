"""Running other programs, with errors that show what they said."""

import os
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from local_cluster.errors import LocalClusterError
from local_cluster.progress import say

Command: TypeAlias = Sequence[str | Path]
HEARTBEAT_SECONDS = 15.0


def run(
    argv: Command,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Run a program to its end and return what it wrote to stdout.

    `env` is added to the environment.

    Raises:
        LocalClusterError: it isn't installed, or failed; the message has the end of its output.
    """
    try:
        done = subprocess.run(
            [str(word) for word in argv],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise LocalClusterError(f"{argv[0]} is not installed") from error
    if done.returncode != 0:
        raise LocalClusterError(failure(argv, done.returncode, done.stdout + done.stderr))
    return done.stdout


def run_long(
    argv: Command, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Run a program that takes minutes; every few seconds, show the last line that it wrote.

    Raises:
        LocalClusterError: as `run`.
    """
    lines: list[str] = []
    spoken = time.monotonic()
    with _start(argv, cwd, env) as process:
        for line in process.stdout or ():
            lines.append(line)
            if time.monotonic() - spoken > HEARTBEAT_SECONDS:
                spoken = time.monotonic()
                say(f"    … {line.strip()}")
    if process.returncode != 0:
        raise LocalClusterError(failure(argv, process.returncode, "".join(lines)))


def _start(argv: Command, cwd: Path | None, env: Mapping[str, str] | None) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            [str(word) for word in argv],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except FileNotFoundError as error:
        raise LocalClusterError(f"{argv[0]} is not installed") from error


def failure(argv: Command, status: int, output: str) -> str:
    """Describe a failed command by its words, its status and its last 20 lines."""
    tail = "\n".join(f"    {line}" for line in output.strip().splitlines()[-20:])
    return f"`{shlex.join(str(word) for word in argv)}` ended with status {status}\n{tail}"
