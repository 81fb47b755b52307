"""The installed operator and agents: taken away for a while, and brought back."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cluster.kube import SYSTEM, Kube, eventually

OPERATOR = "app.kubernetes.io/component=operator"
AGENT = "app.kubernetes.io/component=node-agent"


def pods(kube: Kube, component: str) -> list[dict[str, Any]]:
    """Get the pods of a component."""
    found: list[dict[str, Any]] = kube.get("pods", "-n", SYSTEM, "-l", component)["items"]
    return found


def is_ready(pod: dict[str, Any]) -> bool:
    """Tell whether a pod is ready and stays."""
    ready = {"type": "Ready", "status": "True"}
    return "deletionTimestamp" not in pod["metadata"] and any(
        ready.items() <= condition.items() for condition in pod["status"].get("conditions", ())
    )


def workload(kube: Kube, kind: str) -> dict[str, Any]:
    """Get the installation's only workload of a kind."""
    (found,) = kube.get(kind, "-n", SYSTEM)["items"]
    assert isinstance(found, dict)
    return found


def settled(kube: Kube, component: str, count: int) -> None:
    """Wait until so many pods of a component are there, all ready."""
    eventually(
        lambda: pods(kube, component),
        lambda seen: len(seen) == count and all(map(is_ready, seen)),
    )


def scale_operator(kube: Kube, count: int) -> None:
    """Have so many operators, and wait until it is so."""
    name = workload(kube, "deployment")["metadata"]["name"]
    kube.run("scale", f"deployment/{name}", f"--replicas={count}", "-n", SYSTEM)
    settled(kube, OPERATOR, count)


@contextmanager
def operators(kube: Kube, count: int) -> Iterator[None]:
    """Have so many operators for a while."""
    before = workload(kube, "deployment")["spec"]["replicas"]
    try:
        scale_operator(kube, count)
        yield
    finally:
        scale_operator(kube, before)


@contextmanager
def no_agents(kube: Kube) -> Iterator[None]:
    """Have no agent on any node for a while."""
    agents = workload(kube, "daemonset")
    name, count = agents["metadata"]["name"], agents["status"]["desiredNumberScheduled"]
    nowhere = {"trafficcapture.io/test-without-agents": "true"}
    try:
        _select_nodes(kube, name, nowhere)
        settled(kube, AGENT, 0)
        yield
    finally:
        _select_nodes(kube, name, dict.fromkeys(nowhere))
        settled(kube, AGENT, count)


def _select_nodes(kube: Kube, name: str, labels: dict[str, str] | dict[str, None]) -> None:
    change = {"spec": {"template": {"spec": {"nodeSelector": labels}}}}
    kube.run("patch", f"daemonset/{name}", "--type=merge", "-p", json.dumps(change), "-n", SYSTEM)


@contextmanager
def giving_up_after(kube: Kube, seconds: int) -> Iterator[None]:
    """Have the operator wait no longer than this for agents that are away."""
    before = workload(kube, "deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    others = [each for each in before if not each.startswith("--release-unreachable-after")]
    try:
        _operate_with(kube, [*others, f"--release-unreachable-after={seconds}"])
        yield
    finally:
        _operate_with(kube, before)


def _operate_with(kube: Kube, arguments: list[str]) -> None:
    deployment = workload(kube, "deployment")
    name = deployment["metadata"]["name"]
    path = "/spec/template/spec/containers/0/args"
    change = [{"op": "replace", "path": path, "value": arguments}]
    kube.run("patch", f"deployment/{name}", "--type=json", "-p", json.dumps(change), "-n", SYSTEM)
    kube.run("rollout", "status", f"deployment/{name}", "-n", SYSTEM, "--timeout=60s")
    settled(kube, OPERATOR, deployment["spec"]["replicas"])
