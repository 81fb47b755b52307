"""Real pods on the local node for measurements, and ways to reach into them from the node."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from capture_api.names import API_VERSION
from local_cluster import access
from local_cluster.commands import run
from local_cluster.node import CONTROL_PLANE_NODE
from watches import Watch, watched

NAMESPACE = "bench"
IMAGE = "localhost/pause:1"


@dataclass(frozen=True, slots=True)
class BenchCluster:
    """kubectl in the bench's namespace, and root on the node."""

    cluster: access.Cluster

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the bench's namespace and return its output."""
        argv = [*self._client, "--namespace", NAMESPACE, *arguments]
        done = subprocess.run(argv, input=stdin, stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout

    def watched(self, kind: str) -> AbstractContextManager[Watch]:
        """Watch a kind of ours, in all namespaces, for a block."""
        return watched(self._client, f"/apis/{API_VERSION}/{kind}")

    @property
    def _client(self) -> list[str]:
        return [str(self.cluster.kubectl), "--kubeconfig", str(self.cluster.kubeconfig)]

    def on_node(self, *argv: str, stdin: str | None = None) -> str:
        """Run a command as root on the node and return its output.

        Raises:
            LocalClusterError: it failed; what it warns of otherwise is not shown.
        """
        return run(access.nsenter_node(argv), stdin=stdin)

    @contextmanager
    def running_pods(self, count: int) -> Iterator[list[int]]:
        """Run pods labelled app=bench for the block; give the PID, on the node, of each."""
        self._remove()
        self.kubectl("create", "namespace", NAMESPACE)
        try:
            manifest = {
                "apiVersion": "v1",
                "kind": "List",
                "items": [pod_manifest(f"pod-{i}", "bench") for i in range(count)],
            }
            self.kubectl("apply", "--filename=-", stdin=json.dumps(manifest))
            ready = ("--for=condition=Ready", "--timeout=5m")
            self.kubectl("wait", "pod", "--selector=app=bench", *ready)
            yield self._pids()
        finally:
            self._remove()

    def _remove(self) -> None:
        delete = ("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=3m")
        subprocess.run([*self._client, *delete], stdout=subprocess.DEVNULL, check=True)

    def _pids(self) -> list[int]:
        listed = json.loads(self.kubectl("get", "pods", "--output=json"))["items"]
        uids = {uid for pod in listed for uid in _spellings(pod["metadata"]["uid"])}
        found = self.on_node(
            "sh", "-c", "grep -oE 'pod[0-9a-f_-]{36}' -m1 /proc/[0-9]*/cgroup || true"
        )
        by_uid = {}
        for line in found.splitlines():
            path, _, name = line.partition(":")
            if name.removeprefix("pod") in uids:
                by_uid[name] = int(path.split("/")[2])
        return list(by_uid.values())


def _spellings(uid: str) -> tuple[str, str]:
    return uid, uid.replace("-", "_")


def pod_manifest(name: str, app: str) -> dict[str, Any]:
    """Describe a pod that does nothing, on the node that the reference enters."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": CONTROL_PLANE_NODE.name},
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "containers": [{"name": "pause", "image": IMAGE}],
        },
    }
