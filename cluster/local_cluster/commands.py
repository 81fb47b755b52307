"""Running other programs, with errors that show what they said."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_cluster.errors import LocalClusterError


def run(
    argv: Sequence[str | Path],
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


def failure(argv: Sequence[str | Path], status: int, output: str) -> str:
    """Describe a failed command by its words, its status and its last 20 lines."""
    tail = "\n".join(f"    {line}" for line in output.strip().splitlines()[-20:])
    return f"`{shlex.join(str(word) for word in argv)}` ended with status {status}\n{tail}"
