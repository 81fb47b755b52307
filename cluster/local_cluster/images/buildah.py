"""buildah, with a store of its own in the user's cache, so that no other store is touched."""

from collections.abc import Sequence
from pathlib import Path

from local_cluster.cache import cache_root
from local_cluster.commands import Command, run
from local_cluster.filesystem import is_overlay
from local_cluster.privilege import in_own_mounts

POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'  # there is no registry to distrust


def build(containerfile: Path, context: Path, image: str, base: str | None = None) -> None:
    """Build an image; steps whose inputs are the same come from the store."""
    argument = ["--build-arg", f"BASE={base}"] if base else []
    options = ["--layers", "--isolation", "chroot", "--pull-never", *_policy()]
    _buildah("build", *options, *argument, "--file", containerfile, "--tag", image, context)


def forget_unfinished() -> None:
    """Remove the working containers that killed builds left in the store."""
    _buildah("rm", "--all")


def images() -> set[str]:
    """Return the names, with tags, of all images in the store."""
    listed = _buildah("images", "--format", "{{.Name}} {{.Tag}}").splitlines()
    return {":".join(line.split()) for line in listed}


def save(image: str, archive: Path, name: str) -> None:
    """Write an image to an archive, under a name of its own."""
    _buildah("push", *_policy(), image, f"docker-archive:{archive}:{name}")


def remove_other_tags(image: str) -> None:
    """Remove the store's other images of the same name; the steps they share stay."""
    name, _, _ = image.rpartition(":")
    for other in images():
        if other.startswith(f"{name}:") and other != image:
            _buildah("rmi", other)


def _policy() -> Sequence[str]:
    path = _folder() / "policy.json"
    path.write_text(POLICY)
    return ("--signature-policy", str(path))


def _folder() -> Path:
    folder = cache_root() / "buildah"
    folder.mkdir(parents=True, exist_ok=True)  # by the user, before root has the first word in it
    return folder


def _buildah(command: str, *arguments: str | Path) -> str:
    folder = _folder()
    driver = "vfs" if is_overlay(cache_root()) else "overlay"
    store: Command = [
        "--root",
        folder / "store",
        "--runroot",
        folder / "run",
        "--storage-driver",
        driver,
    ]
    return run(in_own_mounts(["buildah", *store, command, *arguments]))
