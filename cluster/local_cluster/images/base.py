"""The base image: this machine's own distribution, bootstrapped from its own mirror, once."""

import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path

from local_cluster.cache import built, key
from local_cluster.commands import run, run_long
from local_cluster.images import buildah
from local_cluster.images.mirror import Mirror, machine_mirror, machine_suite
from local_cluster.privilege import as_root, in_own_mounts
from local_cluster.progress import step

PACKAGES = ("python3", "python3-venv", "iptables", "nftables", "iproute2", "ca-certificates")
# What no container reads; without it, half the size.
UNUSED = ("var/cache/apt/archives/*.deb", "var/lib/apt/lists/*", "var/log/*", "usr/share/doc/*")
UNUSED_TOO = ("usr/share/man/*", "usr/share/info/*", "usr/share/locale/*")
CONTAINERFILE = """\
FROM scratch
ADD rootfs.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
CMD ["sh"]
"""


@dataclass(frozen=True, slots=True)
class Base:
    """A base image that may not have been made yet."""

    suite: str

    @property
    def key(self) -> str:
        """Names what it consists of."""
        return key(self.suite, platform.machine(), CONTAINERFILE, *PACKAGES, *UNUSED, *UNUSED_TOO)

    @property
    def image(self) -> str:
        """Its name in buildah's store."""
        return f"localhost/traffic-capture-base:{self.key}"


def machine_base() -> Base:
    """Return the base of this machine's suite."""
    return Base(machine_suite())


def ensure(base: Base) -> None:
    """Make the base image unless the store has it."""
    if base.image in buildah.images():
        return
    folder = _bootstrapped(base)
    with step(f"building the base image from {base.suite}"):
        buildah.build(folder / "Containerfile", folder, base.image)


def python_version(base: Base) -> str:
    """Return the version of the base's Python, such as `3.11`."""
    return (_bootstrapped(base) / "python-version").read_text().strip()


def _bootstrapped(base: Base) -> Path:
    def build(folder: Path) -> None:
        with step(f"bootstrapping {base.suite} (about a minute, once)"):
            _bootstrap(machine_mirror(), folder)

    return built("base", base.key, build)


def _bootstrap(mirror: Mirror, folder: Path) -> None:
    (folder / "Containerfile").write_text(CONTAINERFILE)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        rootfs = Path(scratch) / "rootfs"
        options = [f"--include={','.join(PACKAGES)}", f"--components={','.join(mirror.components)}"]
        words = [*options, mirror.suite, str(rootfs), mirror.url]
        run_long(in_own_mounts(["debootstrap", "--variant=minbase", *words]))
        interpreter = (rootfs / "usr/bin/python3").readlink().name
        (folder / "python-version").write_text(interpreter.removeprefix("python"))
        excluded = [f"--exclude=./{pattern}" for pattern in (*UNUSED, *UNUSED_TOO)]
        wildcards = ["--wildcards", "--no-wildcards-match-slash", "--anchored"]
        tar = ["tar", "--directory", str(rootfs), *wildcards, *excluded, "--create", "--file"]
        run(as_root([*tar, folder / "rootfs.tar", "."]))
        run(as_root(["rm", "-rf", rootfs]))
