"""The cluster that `make test` has prepared: running, with the images and the chart in it."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.kube import Kube
from local_cluster import access


@pytest.fixture(scope="session")
def cluster() -> access.Cluster:
    """Return the cluster; without one the tests fail, saying which command starts it."""
    return access.cluster()


@pytest.fixture
def kube(
    cluster: access.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Kube]:
    """Work in a namespace of the test's own.

    With a discovery cache of its own too: the schema tests serve our kinds in groups that come and
    go, and kubectl would go on taking `tcap` for one of theirs.
    """
    monkeypatch.setenv("KUBECACHEDIR", str(tmp_path / "kubectl"))
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    kube = Kube(cluster.kubectl, cluster.kubeconfig, namespace)
    kube.run("create", "namespace", namespace)
    yield kube
    kube.run("delete", "namespace", namespace, "--wait=false")
