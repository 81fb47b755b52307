"""`make install`: install or upgrade the chart, and wait until it runs."""

import shlex
import subprocess
from pathlib import Path

from local_cluster.access import Cluster, cluster
from local_cluster.checkout import Checkout
from local_cluster.errors import LocalClusterError
from local_cluster.images.base import machine_base
from local_cluster.images.product import product
from local_cluster.images.recipe import TAG
from local_cluster.progress import say

RELEASE = "traffic-capture"
NAMESPACE = "traffic-capture-system"
TIMEOUT = "3m"


def install(checkout: Checkout, image: str, tag: str) -> None:
    """Run `helm upgrade --install` against the cluster to use.

    Raises:
        LocalClusterError: there is no cluster, or helm failed; helm has said why.
    """
    chosen = cluster()
    is_ours = chosen.is_local and tag == TAG
    contents = product(checkout, machine_base()).key if is_ours else None
    command = helm_command(chosen, checkout.root, f"{image}:{tag}", contents)
    say(f"$ {shlex.join(command)}")
    if subprocess.run(command, check=False).returncode != 0:
        raise LocalClusterError(f"helm failed; see: kubectl --namespace {NAMESPACE} get pods")


def helm_command(chosen: Cluster, root: Path, image: str, contents: str | None) -> list[str]:
    """Return the command.

    `contents` names what the image consists of. As an annotation it makes the pods be replaced
    when the image changed, although its tag did not.
    """
    repository, _, tag = image.rpartition(":")
    values = [f"image.repository={repository}", f"image.tag={tag}"]
    if contents:
        values += [f"{part}.podAnnotations.image-hash={contents}" for part in ("operator", "agent")]
    return [
        str(chosen.helm),
        f"--kubeconfig={chosen.kubeconfig}",
        f"--namespace={NAMESPACE}",
        "upgrade",
        "--install",
        "--create-namespace",
        "--wait",
        f"--timeout={TIMEOUT}",
        *(word for value in values for word in ("--set-string", value)),
        RELEASE,
        str(root / "helm" / RELEASE),
    ]
