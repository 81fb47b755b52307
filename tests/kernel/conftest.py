"""Throw-away network namespaces for tests against the real kernel; they need root."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kernel.iptables_releases import RELEASES, IptablesRelease, is_debian
from local_cluster.errors import LocalClusterError

MACHINE = "the machine's"


@dataclass(frozen=True, slots=True)
class NetworkNamespace:
    """A network namespace, held by a process that does nothing in it."""

    pid: int

    def run(self, *command: str, stdin: str = "") -> str:
        """Run a command inside; its standard output.

        Raises:
            AssertionError: it failed; with what it printed.
        """
        done = self.attempt(*command, stdin=stdin)
        assert done.returncode == 0, f"{command}: exit {done.returncode}: {done.stderr}"
        return done.stdout

    def attempt(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command that may fail."""
        return subprocess.run(
            ["nsenter", "--net", "--target", str(self.pid), "--", *command],
            input=stdin,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            check=False,
        )


@contextmanager
def network_namespace() -> Iterator[NetworkNamespace]:
    """A namespace of its own with nothing in it, gone when its holder's input closes.

    So it goes with a killed test run as well.
    """
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo ready; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        yield NetworkNamespace(holder.pid)


@pytest.fixture(scope="session", autouse=True)
def _needs_root() -> None:
    if os.geteuid() != 0:
        pytest.exit("network namespaces need root: `make test` asks sudo for it", returncode=1)


@pytest.fixture
def netns() -> Iterator[NetworkNamespace]:
    """A fresh network namespace for one test."""
    with network_namespace() as namespace:
        yield namespace


@pytest.fixture(scope="module")
def shared_netns() -> Iterator[NetworkNamespace]:
    """One network namespace for a module: property tests clear what they use themselves."""
    with network_namespace() as namespace:
        yield namespace


@pytest.fixture(
    scope="session",
    params=[MACHINE, *RELEASES],
    ids=lambda release: release if release == MACHINE else release.version,
)
def iptables_folder(request: pytest.FixtureRequest) -> Path:
    """Say where `iptables-nft` is: the machine's own, and that of each later release in turn."""
    if request.param == MACHINE:
        found = shutil.which("iptables-nft")
        assert found
        return Path(found).parent
    return fetched(request.param, request.config)


def fetched(release: IptablesRelease, config: pytest.Config) -> Path:
    """Return the folder of a release's tools; a test that needs one that can't be had fails."""
    if not is_debian():
        pytest.skip(
            "no mirror of Debian is known here, and other distributions have other iptables"
        )
    captured = config.pluginmanager.getplugin("capturemanager")
    try:
        with captured.global_and_fixture_disabled():  # a download says that it is one
            return release.folder()
    except LocalClusterError as error:
        reason = str(error)
    pytest.fail(reason, pytrace=False)
