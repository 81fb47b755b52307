"""The images that the running node has."""

from pathlib import Path

from local_cluster import access
from local_cluster.commands import run


def images() -> set[str]:
    """Return the names of all images that the kubelet sees."""
    return set(run([*access.ctr(), "images", "list", "--quiet"]).split())


def load(archive: Path, image: str, keyed_image: str) -> None:
    """Load an archive's image; it gets its keyed name last, when the rest is done."""
    run([*access.ctr(), "images", "import", archive])
    run([*access.ctr(), "images", "tag", "--force", image, keyed_image])
    name, _, _ = image.rpartition(":")
    outdated = [other for other in images() if other.startswith(f"{name}:")]
    for other in outdated:
        if other not in {image, keyed_image}:
            run([*access.ctr(), "images", "remove", other])
