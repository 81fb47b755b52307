"""Programs that come from PyPI, each in a virtual environment of its own in the cache."""

import sys
from pathlib import Path

from local_cluster import packages
from local_cluster.cache import built
from local_cluster.commands import Command, run
from local_cluster.errors import LocalClusterError
from local_cluster.progress import step


def program(package: str, version: str, name: str) -> Path:
    """Return the path of a program that a PyPI package brings."""
    return environment(package, version) / "bin" / name


def environment(package: str, version: str) -> Path:
    """Return the virtual environment that has this package; pip's own settings apply."""

    def build(folder: Path) -> None:
        with step(f"installing {package} {version} from PyPI"):
            create(folder)
            run([folder / "bin/python", "-m", "pip", "install", f"{package}=={version}"])

    return built("pypi", f"{package}-{version}", build)


def create(folder: Path) -> None:
    """Make a virtual environment with pip, installing Debian's python3-venv if that is missing."""
    command: Command = [sys.executable, "-m", "venv", folder]
    try:
        run(command)
    except LocalClusterError:
        packages.ensure(packages.VENV)
        run(command)
