"""The archive of the sandbox image is what containerd imports."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

from local_cluster.image_archive import write


def test_the_archive_holds_the_program_and_names_it_as_the_entry_point(tmp_path: Path) -> None:
    """One layer, with a digest that is true."""
    (tmp_path / "pause").write_bytes(b"a program")
    write(tmp_path / "pause.tar", "localhost/pause:1", tmp_path / "pause")

    archive = _contents((tmp_path / "pause.tar").read_bytes())
    manifest = json.loads(archive["manifest.json"])[0]
    configuration = json.loads(archive[manifest["Config"]])
    layer = archive[manifest["Layers"][0]]

    assert manifest["RepoTags"] == ["localhost/pause:1"]
    assert configuration["config"]["Entrypoint"] == ["/pause"]
    assert configuration["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert _contents(layer) == {"pause": b"a program"}


def test_the_same_program_makes_the_same_archive(tmp_path: Path) -> None:
    """No time stamp gets in."""
    (tmp_path / "pause").write_bytes(b"a program")
    for name in ("one.tar", "other.tar"):
        write(tmp_path / name, "localhost/pause:1", tmp_path / "pause")

    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "other.tar").read_bytes()


def _contents(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        return {name: file.read() for name, file in files.items() if file is not None}
