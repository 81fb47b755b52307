"""A second operator, which should not be there, does no harm."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from cluster.installation import operators
from cluster.kube import Kube, eventually
from cluster.manifests import capture
from cluster.node_side import captured_here, nat, only_local
from cluster.test_capture import is_ready, ours, status
from local_cluster.access import Cluster
from local_cluster.node import CONTROL_PLANE_NODE
from reference_rules import REFERENCE_RULES

T = TypeVar("T")

LOOKS = 30
"""So many looks in a row, some ten seconds or more: as long as the slowest pace of our writes."""


@pytest.fixture
def two(kube: Kube, cluster: Cluster) -> Iterator[Kube]:
    """Have two operators for a while."""
    only_local(cluster)
    with operators(kube, 2):
        yield kube


def same_for_long(look: Callable[[], T]) -> T:
    """Look until nothing has changed for many looks, and return what is seen then."""
    seen: list[T] = []

    def once_more() -> int:
        now = look()
        if seen and seen[-1] != now:
            seen.clear()
        seen.append(now)
        return len(seen)

    eventually(once_more, lambda count: count >= LOOKS)
    return seen[-1]


def versions(kube: Kube) -> dict[str, Any]:
    """Return what every write changes: of the namespace's objects, and of the node's dispatch."""
    own = {
        f"{entry['kind']}/{entry['metadata']['name']}": entry["metadata"]["resourceVersion"]
        for entry in kube.get(
            "trafficcaptures.trafficcapture.io,captureprograms.trafficcapture.io"
        )["items"]
    }
    node = kube.get(f"nodecaptures.trafficcapture.io/{CONTROL_PLANE_NODE.name}")
    return {**own, "dispatch": node["metadata"]["generation"]}


def test_two_operators_agree_and_come_to_rest(two: Kube) -> None:
    """What is applied, changed, tampered with and deleted ends as with one of them."""
    uid = captured_here(two)
    eventually(lambda: status(two), is_ready)
    assert ours(nat(uid, "-S")) == REFERENCE_RULES
    nat(uid, "-F")
    eventually(lambda: status(two)["drift"]["repaired"], lambda seen: seen == 1)
    two.apply(capture("web", inbound={"redirectPort": 15001, "include": [{"ports": ["81"]}]}))
    wanted = REFERENCE_RULES.replace("--dport 80", "--dport 81")
    eventually(lambda: ours(nat(uid, "-S")), lambda seen: seen == wanted)
    same_for_long(lambda: versions(two))
    assert status(two)["drift"]["detected"] == 1
    two.run("delete", "tcap", "web", "--timeout=60s")
    assert ours(nat(uid, "-S")) == ""


def test_captures_of_one_pod_are_told_apart_by_two_operators_alike(two: Kube) -> None:
    """The same one wins, and neither of them takes the pod back and forth."""
    uid = captured_here(two)
    for name, priority in (("first", 10), ("second", 5)):
        two.apply(capture(name, chainPrefix=name.upper(), priority=priority))
    eventually(lambda: status(two, "first"), is_ready)
    same_for_long(lambda: (versions(two), nat(uid, "-S")))
    assert ours(nat(uid, "-S")) == REFERENCE_RULES.replace("ISTIO", "FIRST")
