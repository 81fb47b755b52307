"""runc, with which containerd starts containers; the distribution's may be too old.

A pod with `hostUsers: false` needs 1.2 or newer, and Debian 12 has 1.1. It is the one program here
that isn't Go alone: C joins the namespaces, before Go has threads, and a C library compiles seccomp
filters. Both are linked into it, so that it runs on whatever machine shares the cache.
"""

from collections.abc import Mapping
from pathlib import Path

from local_cluster import packages, versions
from local_cluster.commands import run_long
from local_cluster.progress import step

PACKAGE = "github.com/opencontainers/runc"
# `make static` in its Makefile.
TAGS = "seccomp,urfave_cli_no_docs,netgo,osusergo"
LINKER_FLAGS = "-s -w -extldflags -static"


def build(compiler: Path, folder: Path, environment: Mapping[str, str]) -> None:
    """Build it into a folder; `environment` is that of all Go programs here."""
    packages.ensure(packages.RUNC)
    options = ["-v", "-trimpath", "-tags", TAGS, "-ldflags", LINKER_FLAGS]
    own = {**environment, "CGO_ENABLED": "1", "GOBIN": str(folder)}
    with step(f"building runc {versions.RUNC}"):
        source = f"{PACKAGE}@{versions.RUNC}"
        run_long([compiler, "install", *options, source], cwd=folder, env=own)
