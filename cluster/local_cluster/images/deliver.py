"""`make image`: build what changed, and load it into the node if the node lacks it."""

import tempfile
from pathlib import Path

from local_cluster import health, packages
from local_cluster.access import OTHER_CLUSTER, other_kubeconfig
from local_cluster.cache import cache_root, locked
from local_cluster.checkout import Checkout
from local_cluster.images import base as base_image
from local_cluster.images import buildah, node_store
from local_cluster.images.demo import demo
from local_cluster.images.product import product
from local_cluster.images.recipe import Recipe
from local_cluster.progress import say, step


def image(checkout: Checkout) -> None:
    """Build both images and load them into the running local cluster."""
    if other_kubeconfig():
        say(f"{OTHER_CLUSTER} is set: push your images to where that cluster pulls from")
        return
    running = health.is_running(checkout)
    loaded = node_store.images() if running else set()
    base = base_image.machine_base()
    with locked(cache_root() / "images.lock"):
        for recipe in (product(checkout, base), demo(checkout, base)):
            if recipe.keyed_image in loaded:
                say(f"{recipe.image} is in the cluster already")
                continue
            build(recipe, base)
            if running:
                load(recipe)
    if not running:
        say("no cluster runs, so the images weren't loaded: make cluster image")


def build(recipe: Recipe, base: base_image.Base) -> None:
    """Build an image unless buildah has it."""
    packages.ensure(packages.IMAGE)
    if recipe.keyed_image in buildah.images():
        return
    buildah.forget_unfinished()
    base_image.ensure(base)
    with tempfile.TemporaryDirectory() as context:
        recipe.fill(Path(context))
        with step(f"building {recipe.image}"):
            buildah.build(recipe.containerfile, Path(context), recipe.keyed_image, base.image)
    buildah.remove_other_tags(recipe.keyed_image)


def load(recipe: Recipe) -> None:
    """Hand an image over to the node."""
    with step(f"loading {recipe.image}"), tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        buildah.save(recipe.keyed_image, archive, recipe.image)
        node_store.load(archive, recipe.image, recipe.keyed_image)
