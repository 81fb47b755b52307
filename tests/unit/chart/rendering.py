"""The chart as Helm renders it, without a cluster."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local_cluster.checkout import Checkout

Object = dict[str, Any]

CHART = Path(__file__).resolve().parents[3] / "helm" / "traffic-capture"
RELEASE = "traffic-capture"
NAMESPACE = "traffic-capture-system"
EMPTY: Object = {}


class HelmError(Exception):
    """What Helm said when it failed."""


def helm(*arguments: str) -> str:
    """Run Helm and return what it printed.

    Raises:
        HelmError: it failed.
    """
    done = subprocess.run([helm_program(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise HelmError(done.stdout + done.stderr)
    return done.stdout


def helm_program() -> str:
    """Find Helm: the local cluster's, or the machine's.

    Raises:
        FileNotFoundError: there is none.
    """
    built = Checkout.this().bin / "helm"
    found = str(built) if built.exists() else shutil.which("helm")
    if not found:
        raise FileNotFoundError("the chart's tests need Helm: run `make cluster`, which builds it")
    return found


@dataclass(frozen=True, slots=True)
class Rendered:
    """The objects of a release."""

    objects: tuple[Object, ...]

    def of_kind(self, kind: str) -> list[Object]:
        """Return the objects of a kind."""
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str, name: str = "") -> Object:
        """Return the one object of a kind whose name ends like this."""
        [found] = [it for it in self.of_kind(kind) if it["metadata"]["name"].endswith(name)]
        return found


def settings(values: Object) -> list[str]:
    """Return the arguments that give Helm these values, and an image."""
    given = {"image": {"repository": "localhost/traffic-capture"}, **values}
    return [f"--set-json={name}={json.dumps(value)}" for name, value in given.items()]


def render(
    values: Object = EMPTY, *, release: str = RELEASE, namespace: str = NAMESPACE
) -> Rendered:
    """Render the chart with these values over its own, and an image.

    Raises:
        HelmError: the chart does not accept them.
    """
    text = helm("template", release, str(CHART), f"--namespace={namespace}", *settings(values))
    return Rendered(tuple(found for found in yaml.safe_load_all(text) if found))


def pod_of(workload: Object) -> Object:
    """Return the pod that a Deployment or DaemonSet makes."""
    pod: Object = workload["spec"]["template"]
    return pod


def container_of(workload: Object) -> Object:
    """Return its only container."""
    [container] = pod_of(workload)["spec"]["containers"]
    found: Object = container
    return found
