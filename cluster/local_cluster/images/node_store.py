"""The images that a running node has."""

from pathlib import Path

from local_cluster import access
from local_cluster.commands import run
from local_cluster.node import Node


def images(node: Node) -> set[str]:
    """Return the names of all images that the node's kubelet sees."""
    return set(run([*access.ctr(node), "images", "list", "--quiet"]).split())


def load(node: Node, archive: Path, image: str, keyed_image: str) -> None:
    """Load an archive's image; it gets its keyed name last, when the rest is done."""
    ctr = access.ctr(node)
    run([*ctr, "images", "import", archive])
    run([*ctr, "images", "tag", "--force", image, keyed_image])
    name, _, _ = image.rpartition(":")
    outdated = [other for other in images(node) if other.startswith(f"{name}:")]
    for other in outdated:
        if other not in {image, keyed_image}:
            run([*ctr, "images", "remove", other])
