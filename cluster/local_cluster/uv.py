"""uv: the machine's own, or else one from PyPI in the cache."""

import re
import shutil
from pathlib import Path

from local_cluster import packages, venv
from local_cluster.commands import run
from local_cluster.versions import UV_FROM_PYPI, UV_MINIMUM


def uv() -> Path:
    """Return a `uv` that reads our lock file, and can build what is in it."""
    if not shutil.which("cc"):
        packages.ensure(packages.COMPILER)
    found = shutil.which("uv")
    if found and parse_version(run([found, "--version"])) >= UV_MINIMUM:
        return Path(found)
    return venv.program("uv", UV_FROM_PYPI, "uv")


def parse_version(text: str) -> tuple[int, ...]:
    """Read `uv 0.13.9 (…)` as (0, 13); anything else as (0, 0)."""
    match = re.match(r"uv (\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)
