"""What can be switched on, and what it is then."""

import pytest

from unit.chart.rendering import (
    Object,
    Rendered,
    container_of,
    pod_of,
    render,
)

WORKLOADS = ("Deployment", "DaemonSet", "Job")


def test_networks_and_budgets_are_left_alone_by_default(chart: Rendered) -> None:
    """A wrong guess would cut the operator off, or keep a node from being drained."""
    assert not chart.of_kind("NetworkPolicy")
    assert not chart.of_kind("PodDisruptionBudget")


def test_a_network_policy_holds_every_pod_of_the_release() -> None:
    """To the API server and to answering probes."""
    values = {"networkPolicy": {"enabled": True, "apiServerPorts": [6443]}}
    rendered = render(values)
    spec = rendered.one("NetworkPolicy")["spec"]
    for kind in WORKLOADS:
        for workload in rendered.of_kind(kind):
            labels = pod_of(workload)["metadata"]["labels"]
            assert spec["podSelector"]["matchLabels"].items() <= labels.items()
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"ports": [{"port": "health", "protocol": "TCP"}]}]
    assert spec["egress"] == [{"ports": [{"port": 6443, "protocol": "TCP"}]}]


def test_a_network_policy_can_name_the_api_server() -> None:
    """An address beside the ports."""
    policy: Object = {"enabled": True, "apiServerCIDRs": ["10.0.0.1/32"]}
    [rule] = render({"networkPolicy": policy}).one("NetworkPolicy")["spec"]["egress"]
    assert rule["to"] == [{"ipBlock": {"cidr": "10.0.0.1/32"}}]
    assert [entry["port"] for entry in rule["ports"]] == [443, 6443]


def test_a_disruption_budget_is_about_the_operator() -> None:
    """It selects the operator's pods, with what the user says."""
    rendered = render({"operator": {"podDisruptionBudget": {"maxUnavailable": 1}}})
    spec = rendered.one("PodDisruptionBudget")["spec"]
    operator = rendered.one("Deployment")["spec"]["selector"]
    assert spec == {"selector": operator, "maxUnavailable": 1}


@pytest.mark.parametrize(
    ("kind", "part", "default"),
    [
        ("Deployment", "operator", "system-cluster-critical"),
        ("DaemonSet", "agent", "system-node-critical"),
    ],
    ids=["operator", "node-agent"],
)
def test_others_are_evicted_first(chart: Rendered, kind: str, part: str, default: str) -> None:
    """Unless the user says otherwise."""
    assert pod_of(chart.one(kind))["spec"]["priorityClassName"] == default
    other = render({part: {"priorityClassName": "low"}}).one(kind)
    assert pod_of(other)["spec"]["priorityClassName"] == "low"
    none = render({part: {"priorityClassName": ""}}).one(kind)
    assert "priorityClassName" not in pod_of(none)["spec"]


@pytest.mark.parametrize(("seconds", "argument"), [(5, "5"), (0.25, "0.25"), (600, "600")])
def test_the_poll_interval_reaches_the_agent(seconds: float, argument: str) -> None:
    """As a number that the agent reads."""
    agent = render({"agent": {"pollIntervalSeconds": seconds}}).one("DaemonSet")
    assert f"--poll-interval={argument}" in container_of(agent)["args"]
