"""What goes into the images, and where it comes from."""

from pathlib import Path

import pytest

from local_cluster.errors import LocalClusterError
from local_cluster.images.mirror import Mirror, choose
from local_cluster.images.product import source_files
from local_cluster.images.wheels import target_flags

PYPROJECT = '[tool.hatch.build.targets.wheel]\npackages = ["app/package"]\n'


def test_the_mirror_is_the_machines_own() -> None:
    """Updates and other suites don't count, and contrib isn't used."""
    targets = [
        "bookworm-updates http://mirror.example/debian main",
        "bookworm http://mirror.example/debian main",
        "bookworm http://mirror.example/debian contrib",
        "nodistro https://vendor.example main",
    ]

    assert choose("bookworm", targets) == Mirror(
        "bookworm", "http://mirror.example/debian", ("main",)
    )


def test_ubuntu_has_python_venv_in_universe() -> None:
    """So debootstrap is told of that component as well."""
    targets = [f"noble http://ubuntu.example/ubuntu {name}" for name in ("main", "universe")]

    assert choose("noble", targets).components == ("main", "universe")


def test_a_suite_that_apt_does_not_have_is_an_error() -> None:
    """The message names it."""
    with pytest.raises(LocalClusterError, match="trixie"):
        choose("trixie", ["bookworm http://mirror.example/debian main"])


def test_wheels_are_for_the_bases_python_not_for_ours() -> None:
    """No source archive either: the image has no compiler."""
    flags = target_flags("3.13", "aarch64")

    assert "--only-binary=:all:" in flags
    assert flags[flags.index("--python-version") + 1] == "3.13"
    assert "--platform=manylinux_2_17_aarch64" in flags


def test_the_image_depends_on_what_the_wheel_is_made_of(tmp_path: Path) -> None:
    """Its packages, the lock and the recipe; neither tests nor what Python compiled."""
    contents = {
        "pyproject.toml": PYPROJECT,
        "uv.lock": "",
        "Containerfile": "",
        "app/package/__init__.py": "",
        "app/package/py.typed": "",
        "app/package/__pycache__/__init__.cpython-311.pyc": "",
        "tests/test_package.py": "",
    }
    for name, text in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    names = {str(path.relative_to(tmp_path)) for path in source_files(tmp_path)}

    assert names == set(list(contents)[:5])
