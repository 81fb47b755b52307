"""What the chart's admission policies let through, asked of a real API server."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from capture_api.names import API_VERSION
from cluster.chart_parts import POLICIES, present, refusal, rendered_for, with_token
from cluster.kube import Kube, eventually
from cluster.manifests import capture, pod
from unit.chart.rendering import Object

NODE_CAPTURES = f"/apis/{API_VERSION}/nodecaptures"


@dataclass(frozen=True, slots=True)
class Agents:
    """An agent on each of two nodes that exist by name only, one that nobody knows where it is."""

    own: str
    other: str
    here: Kube
    nowhere: Kube
    admin: Kube

    def node_capture(self, node: str) -> Object:
        """Read a node's NodeCapture, as it is now."""
        found: Object = self.admin.get(f"nodecaptures.trafficcapture.io/{node}")
        return found

    def report(self, client: Kube, node: str) -> str:
        """Write the status of a node's NodeCapture; return the answer."""
        body = {**self.node_capture(node), "status": {"observedGeneration": 1}}
        return client.run(
            "replace", "--raw", f"{NODE_CAPTURES}/{node}/status", "-f", "-", stdin=json.dumps(body)
        )


@pytest.fixture
def agents(kube: Kube, tmp_path: Path) -> Iterator[Agents]:
    """Have the chart's policies, with agents that RBAC allows everything on NodeCaptures."""
    chart = rendered_for(kube)
    account = chart.one("ServiceAccount", "-node-agent")["metadata"]["name"]
    own, other = f"{kube.namespace}-a", f"{kube.namespace}-b"
    policies = [
        found
        for kind in POLICIES
        for found in chart.of_kind(kind)
        if found["metadata"]["name"].endswith("-node-agent")
    ]
    node_captures = [node_capture(own), node_capture(other)]
    with present(kube, [*policies, *everything_on_node_captures(kube, account), *node_captures]):
        kube.apply(chart.one("ServiceAccount", "-node-agent"))
        kube.apply(pod("agent", nodeName=own, serviceAccountName=account))
        bound = ("--bound-object-kind=Pod", "--bound-object-name=agent")
        agents = Agents(
            own=own,
            other=other,
            here=with_token(kube, kube.run("create", "token", account, *bound), tmp_path),
            nowhere=with_token(kube, kube.run("create", "token", account), tmp_path),
            admin=kube,
        )
        eventually(lambda: policy_is_in_force(agents))
        yield agents
        kube.run("delete", "pod", "agent", "--force", "--grace-period=0")


def node_capture(node: str) -> Object:
    """Describe an empty NodeCapture."""
    kind: Object = {"apiVersion": API_VERSION, "kind": "NodeCapture"}
    return {**kind, "metadata": {"name": node}, "spec": {"pods": []}}


def everything_on_node_captures(kube: Kube, account: str) -> list[Object]:
    """Grant more than the chart does, so that what is refused is refused by the policy."""
    metadata = {"name": f"{kube.namespace}-node-captures"}
    group = "rbac.authorization.k8s.io"
    resources = ["nodecaptures", "nodecaptures/status"]
    return [
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRole",
            "metadata": metadata,
            "rules": [{"apiGroups": ["trafficcapture.io"], "resources": resources, "verbs": ["*"]}],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": metadata["name"]},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": kube.namespace}],
        },
    ]


def policy_is_in_force(agents: Agents) -> bool:
    """Tell whether the API server has taken up the policy, by a write that must be refused."""
    try:
        agents.report(agents.nowhere, agents.own)
    except AssertionError as refused:
        return "node-name is missing" in str(refused)
    return False


def test_an_agent_reports_for_its_own_node(agents: Agents) -> None:
    """The one write that it needs."""
    agents.report(agents.here, agents.own)
    assert agents.node_capture(agents.own)["status"] == {"observedGeneration": 1}


def test_an_agent_cannot_speak_for_another_node(agents: Agents) -> None:
    """A taken-over node can't say that pods elsewhere are captured."""
    with pytest.raises(AssertionError) as refused:
        agents.report(agents.here, agents.other)
    assert f"'{agents.own}' may not write the NodeCapture of node '{agents.other}'" in str(
        refused.value
    )


def test_a_token_that_names_no_node_writes_nothing(agents: Agents) -> None:
    """A token of the same account from anywhere else is worth nothing."""
    with pytest.raises(AssertionError, match="needs a token that is bound to a pod on a node"):
        agents.report(agents.nowhere, agents.own)


def test_an_agent_writes_only_status(agents: Agents) -> None:
    """Not even its own NodeCapture's spec: it would decide itself what it enforces."""
    only = "may only update the status of a NodeCapture"
    named = f"nodecaptures.trafficcapture.io/{agents.own}"
    change = '{"spec": {"pods": [{"uid": "u", "namespace": "demo", "name": "web"}]}}'
    assert only in refusal(agents.here, "patch", named, "--type=merge", "-p", change)
    assert only in refusal(agents.here, "delete", named)
    made = json.dumps(node_capture(f"{agents.own}-new"))
    assert only in refusal(agents.here, "create", "-f", "-", stdin=made)


@pytest.fixture
def excluded(kube: Kube) -> Iterator[Kube]:
    """Have the policy of a release in the test's namespace."""
    chart = rendered_for(kube, excludedNamespaces=[])
    policies = [
        found
        for kind in POLICIES
        for found in chart.of_kind(kind)
        if found["metadata"]["name"].endswith("-excluded")
    ]
    kube.apply(capture("before"))
    with present(kube, policies):
        trial = json.dumps(capture("trial"))
        eventually(lambda: is_refused(kube, trial))
        yield kube


def is_refused(kube: Kube, manifest: str) -> bool:
    """Tell whether an object would be refused."""
    try:
        kube.run("create", "--dry-run=server", "-f", "-", stdin=manifest)
    except AssertionError:
        return True
    return False


def test_nothing_is_captured_in_an_excluded_namespace(excluded: Kube) -> None:
    """The message names the namespace, the value, and what to do."""
    said = refusal(excluded, "create", "-f", "-", stdin=json.dumps(capture("web")))
    assert f"namespace '{excluded.namespace}' is excluded from traffic capture" in said
    assert "excludedNamespaces" in said


def test_a_capture_from_before_the_exclusion_can_go_but_not_change(excluded: Kube) -> None:
    """Its finalizer is an update too, and must not be refused."""
    change = '{"spec": {"priority": 7}}'
    said = refusal(excluded, "patch", "tcap/before", "--type=merge", "-p", change)
    assert "is excluded from traffic capture" in said
    excluded.run("delete", "tcap", "before", "--timeout=60s")


def test_other_namespaces_are_as_before(excluded: Kube) -> None:
    """A policy is cluster-wide; its list is not."""
    other = json.dumps({**capture("web"), "metadata": {"name": "web", "namespace": "default"}})
    excluded.run("create", "--dry-run=server", "-n", "default", "-f", "-", stdin=other)
