"""A container image with one program in it, written with nothing but the standard library.

The format is the one of `docker save`: a tar of the layer's tar, a configuration and a manifest.
"""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write(archive: Path, image: str, program: Path) -> None:
    """Write an archive of an image that runs a static program, as root of an empty file system."""
    layer = _tar({program.name: program.read_bytes()}, mode=0o755)
    configuration = {
        "architecture": GO_ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [image], "Layers": ["layer.tar"]}]
    contents = {
        "manifest.json": json.dumps(manifest).encode(),
        "config.json": json.dumps(configuration).encode(),
        "layer.tar": layer,
    }
    archive.write_bytes(_tar(contents, mode=0o644))


def _tar(contents: dict[str, bytes], mode: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mode = mode
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
