"""The wheels that go into the image: ours, and those of its locked dependencies.

Nothing is resolved again: uv exports what `uv.lock` says, with hashes, and pip downloads that.
"""

import platform
import shutil
from collections.abc import Sequence
from pathlib import Path

from local_cluster import venv
from local_cluster.cache import built, key
from local_cluster.checkout import Checkout
from local_cluster.commands import run
from local_cluster.progress import step
from local_cluster.uv import uv
from local_cluster.versions import PIP_FROM_PYPI

EXTRAS = ("operator", "agent")
# The newest glibc that a wheel may ask for: bases older than Debian 10 aren't served. No wheel
# that is built today names one as old as 2.16, the first that isn't listed.
GLIBC = (2, 28)
OLDEST_GLIBC = 16


def fill(checkout: Checkout, python_version: str, folder: Path) -> None:
    """Write `dependencies/` and `project/`, the context of the Containerfile."""
    dependencies = _dependencies(checkout, python_version)
    shutil.copytree(dependencies, folder / "dependencies", ignore=_not_wheels)
    with step("building the wheel of traffic-capture"):
        run([uv(), "build", "--wheel", "--out-dir", folder / "project", checkout.root])
    (folder / "project" / ".gitignore").unlink(missing_ok=True)


def publish(checkout: Checkout, python_version: str) -> None:
    """Write the context of the Containerfile to `dist/image`, for whoever builds it elsewhere."""
    folder = checkout.root / "dist" / "image"
    shutil.rmtree(folder, ignore_errors=True)
    fill(checkout, python_version, folder)
    print(folder)


def _dependencies(checkout: Checkout, python_version: str) -> Path:
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    export = ["export", "--frozen", "--no-dev", "--no-emit-project", *extras]
    requirements = run([uv(), *export, "--project", checkout.root])

    def build(folder: Path) -> None:
        locked = folder / "requirements.txt"
        locked.write_text(requirements)
        with step(f"downloading the locked dependencies for Python {python_version}"):
            target = target_flags(python_version, platform.machine())
            options = ["--require-hashes", "--no-deps", "--dest", str(folder), *target]
            pip = venv.program("pip", PIP_FROM_PYPI, "pip")
            run([pip, "download", *options, "--requirement", locked])

    return built("wheels", key(requirements, python_version, platform.machine()), build)


def target_flags(python_version: str, machine: str) -> Sequence[str]:
    """Return pip's flags for the wheels of another Python than the one it runs in."""
    major, newest = GLIBC
    tags = [f"manylinux_{major}_{minor}_{machine}" for minor in range(newest, OLDEST_GLIBC, -1)]
    platforms = [f"--platform={tag}" for tag in (*tags, f"manylinux2014_{machine}")]
    version = ["--python-version", python_version, "--implementation", "cp"]
    return ["--only-binary=:all:", *version, *platforms]


def _not_wheels(_folder: str, names: list[str]) -> set[str]:
    return {name for name in names if not name.endswith(".whl")}
