"""The recipe of the product's image: the operator and the agent."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from local_cluster.cache import key, key_of_files
from local_cluster.checkout import Checkout
from local_cluster.images import wheels
from local_cluster.images.base import Base, python_version
from local_cluster.images.recipe import Recipe

NAME = "localhost/traffic-capture"


def product(checkout: Checkout, base: Base) -> Recipe:
    """Return the recipe for this checkout's sources as they are now."""

    def fill(context: Path) -> None:
        wheels.fill(checkout, python_version(base), context)

    sources = key_of_files(checkout.root, source_files(checkout.root))
    return Recipe(NAME, checkout.root / "Containerfile", key(sources, base.key), fill)


def source_files(root: Path) -> Iterator[Path]:
    """Yield the files that decide what the image is: those of the wheel, the lock, the recipe."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    named = ("Containerfile", "pyproject.toml", "uv.lock", "README.md", "LICENSE")
    yield from (root / name for name in named if (root / name).exists())
    for package in packages:
        for path in (root / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path
