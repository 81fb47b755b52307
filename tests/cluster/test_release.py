"""The installed release: its own test, an upgrade, and what is left after it was uninstalled."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cluster.kube import SYSTEM, Kube, eventually
from cluster.manifests import capture, container, pod
from local_cluster.access import Cluster
from unit.chart.rendering import CHART

RELEASE = "traffic-capture"
RULES = "-A PREROUTING -p tcp -j ISTIO_INBOUND"
QUIET = {**container(15001), "command": ["sleep", "infinity"]}
LIST_TABLES = """\
for pod in "$@"; do
  pid=$(grep -lE "$pod" /proc/[0-9]*/cgroup 2>/dev/null | head -n 1 | cut -d/ -f3)
  nsenter -t "$pid" -n nft -j -a list table ip nat
done
"""


@dataclass(frozen=True, slots=True)
class Release:
    """Helm, for the release that `make install` has installed, and the values it gave."""

    cluster: Cluster
    values: Path

    def helm(self, *arguments: str) -> str:
        """Run Helm and return all that it said."""
        place = [f"--kubeconfig={self.cluster.kubeconfig}", f"--namespace={SYSTEM}"]
        done = subprocess.run(
            [self.cluster.helm, *place, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def install(self, chart: Path = CHART, *values: str) -> None:
        """Install or upgrade to a chart, with the values it had and these, until it runs.

        Each of them is written as `name=JSON`.
        """
        given = [f"-f{self.values}", *(f"--set-json={value}" for value in values)]
        # Other tests have patched the workloads: what they wrote counts as kubectl's.
        how = ["--install", "--wait", "--timeout=3m", "--force-conflicts"]
        self.helm("upgrade", *how, *given, RELEASE, str(chart))


@pytest.fixture
def release(cluster: Cluster, tmp_path: Path) -> Iterator[Release]:
    """Leave the release as it was, whatever becomes of it."""
    release = Release(cluster, tmp_path / "values.yaml")
    release.values.write_text(release.helm("get", "values", RELEASE, "-o", "yaml"))
    yield release
    release.install()


@pytest.fixture
def witness(kube: Kube) -> Kube:
    """Look into pods' network namespaces from a pod that is no agent."""
    template = kube.get("daemonset", "-n", SYSTEM)["items"][0]["spec"]["template"]
    [agent] = template["spec"]["containers"]
    container = {key: agent[key] for key in ("name", "image", "imagePullPolicy", "securityContext")}
    container["command"] = ["sleep", "infinity"]
    kube.apply(pod("witness", hostPID=True, containers=[container]))
    kube.run("wait", "pod/witness", "--for=condition=Ready", "--timeout=60s")
    return replace(kube, doorway="witness")


def captured(kube: Kube, *names: str) -> None:
    """Have quiet pods on the witness's node captured, and wait until all are."""
    node = kube.get("pod/witness")["spec"]["nodeName"]
    pods = [pod(name, {"app": "web"}, nodeName=node, containers=[QUIET]) for name in names]
    kube.apply({"apiVersion": "v1", "kind": "List", "items": pods})
    kube.run("wait", "pod", "-l", "app=web", "--for=condition=Ready", "--timeout=240s")
    kube.apply(capture("web"))
    eventually(lambda: kube.get("tcap/web"), lambda seen: programmed(seen) == len(names))


def programmed(capture: object) -> int:
    """Return how many pods a TrafficCapture says are programmed."""
    assert isinstance(capture, dict)
    return int(capture.get("status", {}).get("pods", {}).get("programmed", 0))


def test_helm_test_sees_a_connection_redirected(release: Release) -> None:
    """It says so itself, from inside a captured pod."""
    said = release.helm("test", RELEASE)
    assert "redirected: a connection to 192.0.2.1 port 80 reached the proxy" in said


def test_uninstalling_leaves_no_rule_and_no_object(release: Release, witness: Kube) -> None:
    """Pods run on without our rules, and nothing of the release is there but its CRDs."""
    captured(witness, "web")
    assert RULES in witness.nat("web", "-S")
    said = release.helm("uninstall", RELEASE, "--wait")
    assert "every TrafficCapture is deleted, and its rules are gone from the pods" in said
    assert "-N" not in witness.nat("web", "-S")
    left = eventually(lambda: objects_of_the_release(witness), lambda left: not left)
    assert left == []
    for kind in ("trafficcaptures", "captureprograms", "nodecaptures"):
        assert witness.get(f"{kind}.trafficcapture.io", "-A")["items"] == []


def objects_of_the_release(kube: Kube) -> list[str]:
    """Name everything in the cluster that has the release's label, but for the CRDs."""
    verbs = kube.run("api-resources", "--verbs=list", "-o", "name").split()
    kinds = ",".join(kind for kind in verbs if not kind.startswith(("customresourced", "events")))
    label = f"app.kubernetes.io/instance={RELEASE}"
    return kube.run("get", kinds, "-A", "-l", label, "-o", "name").split()


def test_an_upgrade_rewrites_no_rule(release: Release, witness: Kube, tmp_path: Path) -> None:
    """From the chart of the commit before: handles of rules are those of before, in every pod."""
    names = [f"web-{number}" for number in range(50)]
    # The annotation makes the upgrade replace every agent, whatever else the two charts differ in.
    release.install(previous_chart(tmp_path), 'agent.podAnnotations.chart="previous"')
    captured(witness, *names)
    before = handles(witness, names)
    assert len(before) == len(names)
    assert all(before)
    agents = running_agents(witness)
    release.install()
    eventually(lambda: running_agents(witness), lambda now: now and not now & agents)
    forget_evidence(witness)
    eventually(lambda: reported(witness), lambda seen: seen == set(names))
    assert handles(witness, names) == before


def previous_chart(folder: Path) -> Path:
    """Extract the chart as it was in the commit before the last change to it."""
    root = CHART.parents[1]
    path = str(CHART.relative_to(root))
    git = ["git", "-C", str(root)]
    found = subprocess.run(
        [*git, "log", "--format=%H", "--skip=1", "--max-count=1", "--", path],
        capture_output=True,
        text=True,
        check=True,
    )
    archive = subprocess.run(
        [*git, "archive", found.stdout.strip(), path], capture_output=True, check=True
    )
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder / path


def running_agents(kube: Kube) -> set[str]:
    """Name the agents that there are."""
    label = "app.kubernetes.io/component=node-agent"
    return set(kube.run("get", "pods", "-n", SYSTEM, "-l", label, "-o", "name").split())


def handles(kube: Kube, names: Sequence[str]) -> list[list[tuple[str, int]]]:
    """Return chain and kernel handle of every rule in these pods: new rules, new handles."""
    uids = {
        found["metadata"]["name"]: found["metadata"]["uid"] for found in kube.get("pods")["items"]
    }
    patterns = [f"pod{uids[name]}|pod{uids[name].replace('-', '_')}" for name in names]
    listed = kube.run("exec", kube.doorway, "--", "sh", "-euc", LIST_TABLES, "sh", *patterns)
    return [_handles(json.loads(line)) for line in listed.splitlines()]


def _handles(listing: dict[str, Any]) -> list[tuple[str, int]]:
    rules = (entry["rule"] for entry in listing["nftables"] if "rule" in entry)
    return [(rule["chain"], rule["handle"]) for rule in rules]


def forget_evidence(kube: Kube) -> None:
    """Erase what agents have reported, so that only what they look at from now on counts."""
    for found in kube.get("nodecaptures.trafficcapture.io")["items"]:
        name = found["metadata"]["name"]
        erased = json.dumps({"status": None})
        what = f"nodecaptures.trafficcapture.io/{name}"
        kube.run("patch", what, "--subresource=status", "--type=merge", "-p", erased)


def reported(kube: Kube) -> set[str]:
    """Name the pods of the namespace that agents have looked at and found programmed."""
    return {
        entry["name"]
        for found in kube.get("nodecaptures.trafficcapture.io")["items"]
        for entry in found.get("status", {}).get("pods", ())
        if entry["namespace"] == kube.namespace and entry["state"] == "Programmed"
    }
