"""Debian packages: which ones are needed, and installing those that are missing."""

import subprocess
from collections.abc import Sequence

from local_cluster.commands import run
from local_cluster.errors import LocalClusterError
from local_cluster.privilege import as_root
from local_cluster.progress import step

NODE = ("containernetworking-plugins", "iptables", "nftables", "openssl", "iproute2")
IMAGE = ("debootstrap", "buildah")
VENV = ("python3-venv",)
COMPILER = ("gcc", "libc6-dev")
"""For python-iptables, which is published as source."""
RUNC = (*COMPILER, "libseccomp-dev", "pkgconf")


def ensure(packages: Sequence[str]) -> None:
    """Install the packages that this machine lacks.

    Raises:
        LocalClusterError: it isn't Debian or Ubuntu, or apt failed; the message names the packages.
    """
    absent = missing(packages)
    if not absent:
        return
    names = " ".join(absent)
    with step(f"installing Debian packages: {names}"):
        try:
            install(absent)
        except LocalClusterError as error:
            raise LocalClusterError(f"please install these packages: {names}\n{error}") from error


def missing(packages: Sequence[str]) -> list[str]:
    """Return those packages that aren't installed.

    Raises:
        LocalClusterError: this machine has no dpkg.
    """
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *packages]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError as error:
        message = f"only Debian and Ubuntu are supported; this needs {' '.join(packages)}"
        raise LocalClusterError(message) from error
    installed = {line.split()[0] for line in answer.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def install(packages: Sequence[str]) -> None:
    """Install with apt-get; refresh its lists only if it doesn't know a package yet."""
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=600"]
    command = as_root([*apt, "install", "--yes", "--no-install-recommends", *packages])
    try:
        run(command)
    except LocalClusterError:
        run(as_root([*apt, "update"]))
        run(command)
