"""The NodeCapture kind itself is gone for a while, by somebody's mistake. Runs as the last file."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cluster.installation import OPERATOR, pods
from cluster.kube import SYSTEM, Kube, eventually
from cluster.node_side import captured_here, nat, only_local
from cluster.test_absence import handles, programmed, rules
from cluster.test_capture import is_ready, status
from local_cluster.access import Cluster
from reference_rules import REFERENCE_RULES

CRD = "crd/nodecaptures.trafficcapture.io"


@contextmanager
def kind_deleted(kube: Kube) -> Iterator[None]:
    """Have no NodeCapture, and no such kind, for a while."""
    crd = kube.get(CRD)
    kept = {key: crd["metadata"][key] for key in ("name", "labels", "annotations")}
    try:
        kube.run("delete", CRD, "--timeout=60s")
        yield
    finally:
        again = {**crd, "metadata": kept}
        del again["status"]
        kube.run("create", "-f", "-", stdin=json.dumps(again))
        kube.run("wait", CRD, "--for=condition=Established", "--timeout=60s")


@pytest.fixture
def web(kube: Kube, cluster: Cluster) -> str:
    """Have a captured pod, and return its UID."""
    only_local(cluster)
    uid = captured_here(kube)
    eventually(lambda: status(kube), lambda seen: programmed(seen) == 1)
    return uid


def test_without_the_kind_rules_are_guarded_and_with_it_the_status_is_back(
    kube: Kube, web: str
) -> None:
    """Nothing is taken away; what happened meanwhile is told afterwards, and counted once."""
    before, began = handles(web), restarts(kube)
    with kind_deleted(kube):
        assert handles(web) == before
        nat(web, "-F", "ISTIO_INBOUND")
        eventually(lambda: rules(web), lambda seen: seen == REFERENCE_RULES)
        eventually(lambda: restarts(kube), lambda seen: seen > began)
    eventually(lambda: states(kube), lambda seen: seen.get(web) == "Programmed")
    seen = eventually(lambda: status(kube), lambda seen: seen["drift"]["repaired"] == 1)
    assert seen["drift"]["detected"] == 1
    eventually(lambda: status(kube), is_ready)

    said = kube.run("logs", "-n", SYSTEM, "-l", OPERATOR, "--previous", "--tail=-1")
    assert "install the CustomResourceDefinitions again" in said.splitlines()[-1]

    captured_here(kube, "late")
    eventually(lambda: status(kube, "late"), lambda seen: programmed(seen) == 1)


def restarts(kube: Kube) -> int:
    """Count how often the operator was started again."""
    [operator] = pods(kube, OPERATOR)
    return int(operator["status"]["containerStatuses"][0]["restartCount"])


def states(kube: Kube) -> dict[str, str]:
    """Return the state of each pod that agents report on, by UID; nothing while nobody reports."""
    return {
        entry["uid"]: entry["state"]
        for found in kube.get("nodecaptures.trafficcapture.io")["items"]
        for entry in found.get("status", {}).get("pods", ())
    }
