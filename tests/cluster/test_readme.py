"""What README.md tells a reader to type, typed."""

import os
import re
import subprocess
import sys

import pytest

from cluster.documents import ROOT, blocks
from local_cluster import access


def test_the_tour_in_the_readme_works_as_it_is_written(cluster: access.Cluster) -> None:
    """Every command of the five-minute tour succeeds, and shows what the text says it does."""
    assert cluster.is_local, "the tour's first command names the local cluster"
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", "".join(blocks(ROOT / "README.md"))],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = re.findall(r"server: (\w+)", done.stdout)
    assert answers == ["app", "envoy", "app", "app"]
    assert "(refused)" in done.stdout


@pytest.mark.usefixtures("cluster")
def test_the_demo_plays_to_its_end() -> None:
    """`make demo`'s script finds everything as it tells it."""
    done = subprocess.run(
        [sys.executable, "demo/demo.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "cluster"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
