"""Small things that the commands go by."""

from pathlib import Path

import pytest

from local_cluster import kubelet_sysctls, toolchain, uv
from local_cluster.__main__ import parser
from local_cluster.commands import run, run_long
from local_cluster.errors import LocalClusterError
from local_cluster.progress import duration


@pytest.mark.parametrize(
    ("text", "version"),
    [("go1.26.8\n", (1, 26)), ("go1.27rc1", (1, 27)), ("devel +abc", (0, 0))],
)
def test_gos_version_is_read(text: str, version: tuple[int, int]) -> None:
    """What can't be read is too old."""
    assert toolchain.parse_go_version(text) == version


@pytest.mark.parametrize(("text", "version"), [("uv 0.13.9 (abc 2026)", (0, 13)), ("", (0, 0))])
def test_uvs_version_is_read(text: str, version: tuple[int, int]) -> None:
    """What can't be read is too old."""
    assert uv.parse_version(text) == version


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.24, "4.2 s"), (59.9, "59.9 s"), (60, "1 min 00 s"), (185, "3 min 05 s")],
)
def test_times_read_well(seconds: float, text: str) -> None:
    """As a person would say them."""
    assert duration(seconds) == text


@pytest.mark.parametrize("runner", [run, run_long])
def test_a_failed_command_shows_what_it_said(runner: object) -> None:
    """And its status."""
    assert callable(runner)
    with pytest.raises(LocalClusterError, match=r"status 3\n    no such thing"):
        runner(["sh", "-c", "echo no such thing >&2; exit 3"])


@pytest.mark.parametrize("runner", [run, run_long])
def test_a_command_that_is_missing_is_named(runner: object) -> None:
    """Rather than the file that could not be opened."""
    assert callable(runner)
    with pytest.raises(LocalClusterError, match="no-such-program is not installed"):
        runner(["no-such-program"])


def test_the_kubelet_finds_each_setting_as_it_wants_it(tmp_path: Path) -> None:
    """A file for each, so that there is nothing to write."""
    kubelet_sysctls.write_files(tmp_path)

    shown = {name: (tmp_path / name).read_text().strip() for name in kubelet_sysctls.WANTED}
    assert shown == kubelet_sysctls.WANTED


def test_a_number_of_nodes_is_read() -> None:
    """One, unless somebody says more."""
    assert parser().parse_args(["up"]).nodes == 1
    assert parser().parse_args(["up", "2"]).nodes == 2


@pytest.mark.parametrize("text", ["0", "100", "two", "-1"])
def test_a_number_of_nodes_that_is_none_is_refused(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message has the name that make knows it by."""
    with pytest.raises(SystemExit):
        parser().parse_args(["up", "--", text])

    assert "NODES is a number from 1 to 99" in capsys.readouterr().err
