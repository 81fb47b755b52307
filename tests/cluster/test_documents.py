"""What README.md and docs/ tell a reader to type, outside of the tour, typed."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from cluster.documents import DOCUMENTS, ROOT, blocks, commands
from cluster.kube import SYSTEM, Kube, eventually
from cluster.manifests import capture, pod
from cluster.node_side import only_local
from cluster.test_release import Release, release
from local_cluster.access import Cluster

__all__ = ["release"]  # a fixture

LOOKING = (
    "kubectl get tcap",
    "kubectl get tcap --all-namespaces --output yaml",
    "kubectl describe tcap",
    "kubectl wait tcap/NAME --for=condition=Ready",
    "kubectl get ncap -o yaml",
    "kubectl describe pod",
)
HERE = ("make status", "make wheels")
INSTALL = (
    "helm upgrade --install traffic-capture helm/traffic-capture "
    f"--namespace {SYSTEM} --create-namespace --wait "
    "--set image.repository=$REGISTRY/traffic-capture --set image.tag=$TAG"
)
HELM_TEST = f"helm test traffic-capture --namespace {SYSTEM}"
UNINSTALL = f"helm uninstall traffic-capture --namespace {SYSTEM}"
IN_THE_NODE = (
    'nsenter --target "$(cat .cluster/node1/pid)" --mount --net --pid',
    "/run/local-cluster/bin/ctr --namespace k8s.io containers list",
)
NOT_HERE = {
    "make test": "it runs these tests",
    "make cluster": "the cluster runs already, by this command",
    "make image": "the images are there already, by this command",
    "make install": "the release is there already, by this command",
    "make cluster NODES=2": "test_two_nodes runs it",
    "make demo": "test_readme runs what it does after `make install`",
    "make bench": "it measures for many minutes, and nothing else may run meanwhile",
    "make cluster-down": "the other tests still need the cluster",
    "helm uninstall --no-hooks": "an option that is talked about, not a whole command",
    "iptables -I FORWARD -i tcapture0 -o tcapture0 -j ACCEPT": "it changes the machine's firewall",
}
"""Commands that no test here types, and why."""


def typed(command: str, environment: Mapping[str, str], stdin: str = "") -> str:
    """Type a command in the checkout's folder; return all that it printed."""
    done = subprocess.run(
        ["bash", "-euc", command],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=ROOT,
        env=dict(environment),
    )
    assert done.returncode == 0, f"{command}: {done.stdout}"
    return done.stdout


@pytest.fixture
def environment(kube: Kube, tmp_path: Path) -> dict[str, str]:
    """Be a reader in the namespace of the test, with the cluster's programs on the PATH."""
    config = yaml.safe_load(kube.kubeconfig.read_text())
    for context in config["contexts"]:
        context["context"]["namespace"] = kube.namespace
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    path = f"{kube.kubectl.parent}:{os.environ['PATH']}"
    return {**os.environ, "KUBECONFIG": str(kubeconfig), "PATH": path}


def test_every_command_is_typed_by_a_test_or_has_a_reason_not_to_be() -> None:
    """And nothing is listed here that the documents don't say any more."""
    said = {command for document in DOCUMENTS for command in commands(document)}
    known = {*LOOKING, *HERE, INSTALL, HELM_TEST, UNINSTALL, *IN_THE_NODE, *NOT_HERE}
    assert said == known


def test_only_the_readme_has_a_tour() -> None:
    """Blocks to paste are run by `test_readme`; one in another document would not be."""
    assert [document.name for document in DOCUMENTS if blocks(document)] == ["README.md"]
    assert blocks(ROOT / "README.md")


@pytest.mark.parametrize("command", LOOKING)
def test_what_shows_a_capture_works(kube: Kube, environment: dict[str, str], command: str) -> None:
    """It names the capture that is there, or the kind of what it shows."""
    kube.apply(pod("web"))
    kube.apply(capture("web"))
    shown = typed(command.replace("NAME", "web"), environment)
    assert "web" in shown or "NodeCapture" in shown


@pytest.mark.parametrize("command", HERE)
def test_make_does_what_the_documents_say(
    cluster: Cluster, environment: dict[str, str], command: str
) -> None:
    """In this checkout."""
    only_local(cluster)
    printed = typed(command, environment)
    assert {"make status": "node1", "make wheels": f"{ROOT}/dist/image"}[command] in printed


def test_a_look_inside_of_a_node_shows_its_containers(
    cluster: Cluster, environment: dict[str, str]
) -> None:
    """The second command is typed where the first one leads to."""
    only_local(cluster)
    enter, look = IN_THE_NODE
    assert "localhost/traffic-capture" in typed(enter, environment, stdin=look)


def test_the_release_is_installed_tested_and_uninstalled_by_hand(
    kube: Kube, release: Release, environment: dict[str, str]
) -> None:
    """As the README says it, with the image that is in the local cluster."""
    only_local(release.cluster)
    image = {"REGISTRY": "localhost", "TAG": "dev"}
    typed(INSTALL, environment | image)
    assert "redirected:" in typed(HELM_TEST, environment)
    assert "every TrafficCapture is deleted" in typed(UNINSTALL, environment)
    eventually(lambda: kube.get("pods", "-n", SYSTEM)["items"], lambda left: not left)
