"""What absence means: whatever is gone takes no rule away, and nothing ever sticks."""

import json
from dataclasses import replace
from typing import Any

import pytest

from cluster.installation import giving_up_after, no_agents, operators
from cluster.kube import Kube, eventually
from cluster.manifests import capture
from cluster.node_side import captured_here, in_netns, nat, only_local
from cluster.test_capture import is_ready, ours, status
from local_cluster.access import Cluster
from local_cluster.node import CONTROL_PLANE_NODE
from reference_rules import REFERENCE_RULES

NODE_CAPTURE = f"nodecaptures.trafficcapture.io/{CONTROL_PLANE_NODE.name}"


@pytest.fixture
def web(kube: Kube, cluster: Cluster) -> str:
    """Have a captured pod, and return its UID."""
    only_local(cluster)
    uid = captured_here(kube)
    eventually(lambda: status(kube), lambda seen: programmed(seen) == 1)
    assert rules(uid) == REFERENCE_RULES
    return uid


def programmed(seen: dict[str, Any]) -> int:
    """Return how many pods a status says are programmed."""
    return int(seen.get("pods", {}).get("programmed", 0))


def rules(uid: str) -> str:
    """Return the nat rules of a pod, but for the policies."""
    return ours(nat(uid, "-S"))


def chains_left(uid: str) -> str:
    """Return what is in a pod's nat tables of either family, but for the policies."""
    return rules(uid) + ours(in_netns(uid, "ip6tables", "-t", "nat", "-S"))


def handles(uid: str) -> str:
    """Return the table with the kernel's handles: whatever is written anew gets a new one."""
    return in_netns(uid, "nft", "--stateless", "--handle", "list", "table", "ip", "nat")


def is_repaired_after_a_flush(kube: Kube, uid: str, count: int = 1) -> None:
    """See that somebody still looks after a pod."""
    nat(uid, "-F", "ISTIO_INBOUND")
    eventually(lambda: rules(uid), lambda seen: seen == REFERENCE_RULES)
    eventually(lambda: status(kube)["drift"]["repaired"], lambda seen: seen == count)


def test_a_deleted_node_capture_is_made_again_and_its_rules_stay(kube: Kube, web: str) -> None:
    """Not one rule is written anew."""
    before, old = handles(web), kube.get(NODE_CAPTURE)["metadata"]["uid"]
    kube.run("delete", NODE_CAPTURE)
    eventually(
        lambda: kube.run(
            "get", "nodecaptures.trafficcapture.io", "-o", "jsonpath={.items[*].metadata.uid}"
        ),
        lambda seen: seen and old not in seen,
    )
    eventually(lambda: evidence(kube, web), lambda seen: seen.get("state") == "Programmed")
    assert handles(web) == before
    is_repaired_after_a_flush(kube, web)


def evidence(kube: Kube, uid: str) -> dict[str, Any]:
    """Return what the agent reports of a pod."""
    found: list[dict[str, Any]] = kube.get(NODE_CAPTURE).get("status", {}).get("pods", [])
    return next((entry for entry in found if entry["uid"] == uid), {})


def test_a_deleted_capture_program_is_made_again_and_its_rules_stay(kube: Kube, web: str) -> None:
    """Not one rule is written anew."""
    before, old = handles(web), kube.get("cprog/web")["metadata"]["uid"]
    kube.run("delete", "cprog/web")
    eventually(
        lambda: kube.run(
            "get", "captureprograms.trafficcapture.io", "-o", "jsonpath={.items[*].metadata.uid}"
        ),
        lambda seen: seen and old not in seen,
    )
    is_repaired_after_a_flush(kube, web)
    assert len(before.splitlines()) == len(handles(web).splitlines())


def test_a_pod_that_is_not_listed_keeps_its_rules(kube: Kube, web: str) -> None:
    """Only a pod that is listed without a program is released."""
    with operators(kube, 0):
        before = handles(web)
        listed = kube.get(NODE_CAPTURE)["spec"]["pods"]
        others = [entry for entry in listed if entry["uid"] != web]
        kube.patch(NODE_CAPTURE, {"spec": {"pods": others}})
        eventually(lambda: evidence(kube, web), lambda seen: not seen)
        assert handles(web) == before
    eventually(lambda: evidence(kube, web), lambda seen: seen.get("state") == "Programmed")
    assert handles(web) == before


def test_a_capture_that_is_deleted_while_its_agent_is_away_goes_and_so_do_its_chains(
    kube: Kube, web: str
) -> None:
    """The capture goes after the limit, here two seconds; the chains once the agent is back."""
    with giving_up_after(kube, 2):
        with no_agents(kube):
            kube.run("delete", "tcap", "web", "--timeout=60s")
            assert rules(web) == REFERENCE_RULES
        eventually(lambda: chains_left(web), lambda seen: seen == "")


def test_a_capture_that_is_deleted_while_the_operator_is_away_is_released_later(
    kube: Kube, web: str
) -> None:
    """Until then it holds, and so do its rules."""
    with operators(kube, 0):
        kube.run("delete", "tcap", "web", "--wait=false")
        assert "deletionTimestamp" in kube.get("tcap/web")["metadata"]
        assert rules(web) == REFERENCE_RULES
    eventually(lambda: kube.get("tcap")["items"], lambda seen: seen == [])
    assert chains_left(web) == ""


def test_a_namespace_with_captures_in_it_ends(kube: Kube, cluster: Cluster) -> None:
    """With its captures, their programs and its pods."""
    only_local(cluster)
    inner = replace(kube, namespace=f"{kube.namespace}-inner")
    kube.run("create", "namespace", inner.namespace)
    captured_here(inner)
    captured_here(inner, "other", chainPrefix="OTHER")
    for name in ("web", "other"):
        eventually(lambda name=name: status(inner, name), lambda seen: programmed(seen) == 1)  # type: ignore[misc]
    kube.run("delete", "namespace", inner.namespace, "--timeout=60s")


def test_a_capture_made_again_under_its_name_begins_anew(kube: Kube, web: str) -> None:
    """No chain, no count and no condition is left of the first."""
    is_repaired_after_a_flush(kube, web)
    again = capture("web", chainPrefix="AGAIN")
    kube.run("replace", "--force", "-f", "-", stdin=json.dumps(again))
    eventually(lambda: status(kube), lambda seen: programmed(seen) == 1)
    assert rules(web) == REFERENCE_RULES.replace("ISTIO", "AGAIN")
    drift = status(kube)["drift"]
    assert (drift["detected"], drift["repaired"], drift.get("last")) == (0, 0, None)
    eventually(lambda: status(kube), is_ready)


def test_a_capture_made_again_while_the_operator_is_away_begins_anew(kube: Kube, web: str) -> None:
    """The operator never sees the first one go: its finalizer was taken off by hand."""
    assert rules(web) == REFERENCE_RULES
    before = kube.get("tcap/web")["metadata"]["uid"]
    with operators(kube, 0):
        kube.run("delete", "tcap", "web", "--wait=false")
        kube.patch("tcap/web", {"metadata": {"finalizers": None}})
        kube.apply(capture("web", chainPrefix="AGAIN"))
        assert kube.get("tcap/web")["metadata"]["uid"] != before
    eventually(lambda: status(kube), lambda seen: programmed(seen) == 1)
    assert rules(web) == REFERENCE_RULES.replace("ISTIO", "AGAIN")
