"""Two nodes: to each its own, traffic between them, and one that dies.

These tests make the local cluster one of two nodes, and leave it so.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capture_api.names import API_VERSION
from cluster import node_side
from cluster.chart_parts import refusal, with_token
from cluster.kube import SYSTEM, Kube, eventually
from cluster.manifests import capture, container, pod
from cluster.test_capture import condition, ours, status
from cluster.test_release import RELEASE, Release, release
from local_cluster import access
from local_cluster.node import Node
from reference_rules import REFERENCE_RULES
from unit.chart.rendering import CHART

__all__ = ["release"]  # a fixture

ROOT = Path(__file__).parents[2]
FIRST, SECOND = Node(1), Node(2)
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - where, not what
UNREACHABLE = "--timeout=180s"
"""The node counts as NotReady after at most 50 s, and as unreachable 60 s later."""
TELL_PEER = """\
import socket
s = socket.create_server(("", 15001))
while True:
    c, (address, port) = s.accept()
    c.sendall(address.encode())
    c.close()
"""
ASK = "import socket,sys; print(socket.create_connection((sys.argv[1], 80), 5).recv(99).decode())"


def make(*words: str) -> None:
    """Run make as a person does; a failure is an assertion with what it said."""
    done = subprocess.run(["make", "-C", ROOT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session", autouse=True)
def two_nodes(cluster: access.Cluster) -> None:
    """Have the local cluster run on two nodes, with images and a Ready agent on both."""
    if not cluster.is_local:
        pytest.skip("nodes can be added to the local cluster only")
    make("cluster", f"NODES={SECOND.index}")
    make("image")
    agents_are_ready(Kube(cluster.kubectl, cluster.kubeconfig, SYSTEM))


def agents_are_ready(kube: Kube) -> None:
    """Wait until each node has a Ready agent."""
    eventually(
        lambda: kube.get("daemonset", "-n", SYSTEM)["items"][0]["status"],
        lambda seen: seen.get("numberReady") == seen["desiredNumberScheduled"] == SECOND.index,
    )


def pinned(name: str, node: Node, **spec: Any) -> dict[str, Any]:  # noqa: ANN401
    """Describe a captured pod that runs on a certain node."""
    selector = {"kubernetes.io/hostname": node.name}
    tolerations = [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]
    return pod(name, {"app": "web"}, nodeSelector=selector, tolerations=tolerations, **spec)


def one_on_each(kube: Kube) -> None:
    """Run a captured pod on each node, and wait until both are programmed."""
    kube.apply(pinned("one", FIRST))
    kube.apply(pinned("two", SECOND))
    kube.apply(capture("web"))
    eventually(lambda: status(kube), lambda seen: seen.get("pods", {}).get("programmed") == 2)


def listed(kube: Kube, node: Node, part: str) -> list[str]:
    """Name the namespace's pods in a part of a node's NodeCapture, `spec` or `status`."""
    pods = kube.get(f"nodecaptures.trafficcapture.io/{node.name}")[part]["pods"]
    return [entry["name"] for entry in pods if entry["namespace"] == kube.namespace]


def test_each_agent_is_told_of_its_own_nodes_pods_only(kube: Kube) -> None:
    """Both pods of a capture are programmed, each by its node's agent, which knows no other."""
    one_on_each(kube)
    for name, node in {"one": FIRST, "two": SECOND}.items():
        assert ours(kube.nat(name, "-S")) == REFERENCE_RULES
        assert listed(kube, node, "spec") == [name]
        assert listed(kube, node, "status") == [name]


def test_an_agent_can_not_report_for_the_other_node(kube: Kube, tmp_path: Path) -> None:
    """With the token of its own pod it writes its own node's evidence, and nobody else's."""
    token = kube.run("exec", "-n", SYSTEM, kube.agent(FIRST.name), "--", "cat", TOKEN)
    agent = with_token(kube, token, tmp_path)
    # The real agent may have written in between, hence more than one try.
    eventually(lambda: refused_report(kube, agent, FIRST), lambda said: said is None)
    said = refused_report(kube, agent, SECOND)
    assert f"may not write the NodeCapture of node '{SECOND.name}'" in str(said)


def refused_report(admin: Kube, agent: Kube, node: Node) -> str | None:
    """Try to write a node's status as it is; return what the API server said if it refused."""
    path = f"/apis/{API_VERSION}/nodecaptures/{node.name}/status?dryRun=All"
    body = json.dumps(admin.get(f"nodecaptures.trafficcapture.io/{node.name}"))
    try:
        agent.run("replace", "--raw", path, "-f", "-", stdin=body)
    except AssertionError as refused:
        return str(refused)
    return None


def test_a_connection_from_the_other_node_reaches_the_proxy(kube: Kube) -> None:
    """And the proxy sees the address of the pod that it comes from: nothing on the way hides it."""
    proxy = {**container(15001), "command": ["python3", "-c", TELL_PEER]}
    kube.apply(pinned("server", SECOND, containers=[proxy]))
    kube.apply({**pinned("client", FIRST), "metadata": {"name": "client"}})
    kube.run("wait", "pod/server", "pod/client", "--for=condition=Ready", "--timeout=60s")
    address = {name: kube.get(f"pod/{name}")["status"]["podIP"] for name in ("client", "server")}
    ask = ("exec", "client", "--", "python3", "-c", ASK, address["server"])
    assert "ConnectionRefusedError" in refusal(kube, *ask)
    kube.apply(capture("web"))
    eventually(lambda: status(kube), lambda seen: seen.get("pods", {}).get("programmed") == 1)
    assert kube.run(*ask).strip() == address["client"]


def test_uninstalling_names_the_node_that_has_no_agent(kube: Kube, release: Release) -> None:
    """The other node's pods are free of rules; what could not be confirmed is let go, and told."""
    one_on_each(kube)
    uids = {name: node_side.uid_of(kube, name) for name in ("one", "two")}
    only_first = json.dumps({"kubernetes.io/hostname": FIRST.name})
    release.install(CHART, f"agent.nodeSelector={only_first}", "uninstall.timeoutSeconds=20")
    said = release.helm("uninstall", RELEASE, "--wait")
    assert "Not confirmed within 20 s" in said
    [told] = [line for line in said.splitlines() if f"{kube.namespace}/web" in line]
    assert SECOND.name in told
    assert FIRST.name not in told
    assert kube.get("trafficcaptures.trafficcapture.io")["items"] == []
    assert ours(node_side.nat(uids["one"], "-S")) == ""
    assert ours(node_side.nat(uids["two"], "-S", node=SECOND)) == REFERENCE_RULES


@pytest.fixture
def expendable(kube: Kube) -> Iterator[Node]:
    """Give a node that may die: nothing new is scheduled there, and the operator is elsewhere.

    Afterwards it is back, and as useful as before.
    """
    kube.run("cordon", SECOND.name)
    try:
        keep_operator_off(kube, SECOND)
        yield SECOND
    finally:
        make("cluster", f"NODES={SECOND.index}")
        kube.run("uncordon", SECOND.name)
        agents_are_ready(kube)


def keep_operator_off(kube: Kube, node: Node) -> None:
    """Have the operator run on another node than this cordoned one."""
    operator = ("-n", SYSTEM, "-l", "app.kubernetes.io/component=operator")
    kube.run("delete", "pod", *operator, f"--field-selector=spec.nodeName={node.name}")
    kube.run("wait", "deployment", *operator, "--for=condition=Available", "--timeout=60s")


def test_a_dead_node_holds_up_nobody_else(kube: Kube, expendable: Node) -> None:
    """The other node's pods stay guarded; a deletion names the dead node and ends when it is back.

    What it had in its pods died with it, and isn't written again.
    """
    one_on_each(kube)
    os.kill(access.node_pid(expendable), signal.SIGKILL)

    kube.nat("one", "-F", "ISTIO_OUTPUT")
    eventually(lambda: status(kube), lambda seen: seen["drift"]["repaired"] == 1)
    kube.apply(pinned("one-more", FIRST))
    kube.run("wait", "pod/one-more", "--for=condition=Ready", "--timeout=60s")
    eventually(lambda: ours(kube.nat("one-more", "-S")), lambda rules: rules == REFERENCE_RULES)

    kube.run("delete", "tcap", "web", "--wait=false")
    eventually(lambda: ours(kube.nat("one", "-S")), lambda rules: rules == "")
    kube.run("wait", "tcap/web", "--for=condition=Stalled", UNREACHABLE)
    stalled = condition(status(kube), "Stalled")
    assert stalled["reason"] == "NodeUnreachable"
    assert expendable.name in stalled["message"]
    assert FIRST.name not in stalled["message"]

    make("cluster", f"NODES={SECOND.index}")
    kube.run("wait", "tcap/web", "--for=delete", "--timeout=60s")
    kube.run("wait", "pod/two", "--for=condition=Ready", "--timeout=60s")
    assert ours(kube.nat("two", "-S")) == ""
