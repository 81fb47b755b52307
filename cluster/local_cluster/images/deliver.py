"""`make image`: build what changed, and load it into the nodes that lack it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from local_cluster import access, packages
from local_cluster.access import OTHER_CLUSTER, other_kubeconfig
from local_cluster.cache import cache_root, locked
from local_cluster.checkout import Checkout
from local_cluster.images import base as base_image
from local_cluster.images import buildah, node_store
from local_cluster.images.demo import demo
from local_cluster.images.product import product
from local_cluster.images.recipe import Recipe
from local_cluster.node import Node
from local_cluster.progress import say, step


def image(checkout: Checkout) -> None:
    """Build both images and load them into every running node of the local cluster."""
    if other_kubeconfig():
        say(f"{OTHER_CLUSTER} is set: push your images to where that cluster pulls from")
        return
    loaded = {node: node_store.images(node) for node in access.nodes()}
    base = base_image.machine_base()
    with locked(cache_root() / "images.lock"):
        for recipe in (product(checkout, base), demo(checkout, base)):
            lacking = [node for node, images in loaded.items() if recipe.keyed_image not in images]
            if loaded and not lacking:
                say(f"{recipe.image} is in the cluster already")
                continue
            build(recipe, base)
            load(recipe, lacking)
    if not loaded:
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


def load(recipe: Recipe, nodes: Sequence[Node]) -> None:
    """Hand an image over to these nodes."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        for node in nodes:
            with step(f"loading {recipe.image} into {node.name}"):
                if not archive.exists():
                    buildah.save(recipe.keyed_image, archive, recipe.image)
                node_store.load(node, archive, recipe.image, recipe.keyed_image)
