"""The API server hangs or is gone, and the data plane is looked after all the same."""

import pytest

from cluster.installation import AGENT as AGENTS
from cluster.installation import is_ready, pods
from cluster.kube import Kube, eventually
from cluster.node_side import (
    AGENT,
    API_SERVER,
    captured_here,
    kill,
    nat,
    only_local,
    processes,
    run,
    stopped,
)
from cluster.test_capture import ours, status
from local_cluster.access import Cluster
from reference_rules import REFERENCE_RULES

READY = "http://127.0.0.1:8081/readyz"


def rules(uid: str) -> str:
    """Return the nat rules of a pod, but for the policies."""
    return ours(nat(uid, "-S"))


@pytest.fixture
def web(kube: Kube, cluster: Cluster) -> str:
    """Have a captured pod, and return its UID."""
    only_local(cluster)
    uid = captured_here(kube)
    eventually(lambda: status(kube), lambda seen: seen.get("pods", {}).get("programmed") == 1)
    return uid


def test_tampering_while_the_api_server_hangs_is_repaired_and_told_later(
    kube: Kube, web: str
) -> None:
    """Connections are open and nobody answers: the agent neither waits nor forgets to count."""
    with stopped(API_SERVER):
        nat(web, "-F")
        eventually(lambda: rules(web), lambda seen: seen == REFERENCE_RULES)
    drift = eventually(lambda: status(kube)["drift"], lambda seen: seen["repaired"] == 1)
    assert (drift["detected"], drift["last"]["kind"]) == (1, "Flushed")


def test_an_agent_that_starts_without_the_api_server_goes_on_from_what_was_dispatched(
    kube: Kube, web: str
) -> None:
    """Also the count goes on, and so does everything else once the API server is back."""
    nat(web, "-F")
    eventually(lambda: status(kube)["drift"], lambda seen: seen["repaired"] == 1)
    with stopped(API_SERVER):
        killed = kill(AGENT)
        eventually(lambda: processes(AGENT), lambda seen: seen and killed.isdisjoint(seen))
        nat(web, "-D", "OUTPUT", "-p", "tcp", "-j", "ISTIO_OUTPUT")
        eventually(lambda: rules(web), lambda seen: seen == REFERENCE_RULES)
        assert "last known dispatch" in readiness()
    drift = eventually(lambda: status(kube)["drift"], lambda seen: seen["repaired"] == 2)
    assert (drift["detected"], drift["last"]["kind"]) == (2, "JumpMissing")
    eventually(readiness, lambda seen: seen == "ok\n")
    eventually(lambda: pods(kube, AGENTS), lambda seen: all(map(is_ready, seen)))


def readiness() -> str:
    """Ask the agent whether it is ready, as the kubelet does but in its own network namespace."""
    (agent,) = processes(AGENT)
    ask = (
        "import urllib.request as r\n"
        "class Any(r.HTTPErrorProcessor):\n"
        "    def http_response(self, request, response): return response\n"
        f"print(r.build_opener(Any).open({READY!r}, timeout=5).read().decode(), end='')"
    )
    return run("nsenter", "-t", str(agent), "-n", "--", "python3", "-c", ask)
