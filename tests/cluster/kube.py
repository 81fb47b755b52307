"""The real cluster, as a person at kubectl sees it."""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds for anything that a test waits for; nothing is ever expected to take that long."""

SYSTEM = "traffic-capture-system"
IMAGE = "localhost/traffic-capture-demo:dev"


@dataclass(frozen=True, slots=True)
class Kube:
    """kubectl, in one namespace of one cluster."""

    kubectl: Path
    kubeconfig: Path
    namespace: str
    doorway: str = ""
    """A pod of this namespace to reach others' network namespaces from; else the node's agent."""

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return its output; a failure is an assertion with what it said."""
        place = ["--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace]
        done = subprocess.run(
            [self.kubectl, *place, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def get(self, *arguments: str) -> Any:  # noqa: ANN401 - JSON
        """Get objects as JSON."""
        return json.loads(self.run("get", *arguments, "-o", "json"))

    def apply(self, manifest: dict[str, Any]) -> None:
        """Apply one object."""
        self.run("apply", "-f", "-", stdin=json.dumps(manifest))

    def patch(self, what: str, change: dict[str, Any]) -> None:
        """Merge a change into an object."""
        self.run("patch", what, "--type=merge", "-p", json.dumps(change))

    def nat(self, pod: str, *command: str) -> str:
        """Run `iptables -t nat ...` in a pod's network namespace, from its node's agent."""
        return self.in_netns(pod, "iptables", "-t", "nat", *command)

    def in_netns(self, pod: str, *command: str, stdin: str | None = None) -> str:
        """Run a command of the agent's image in a network namespace of a pod on its node."""
        found = self.get(f"pod/{pod}")
        uid, node = found["metadata"]["uid"], found["spec"]["nodeName"]
        door = [self.doorway] if self.doorway else ["-n", SYSTEM, self.agent(node)]
        pattern = f"pod{uid}|pod{uid.replace('-', '_')}"
        script = (
            f"pid=$(grep -lE '{pattern}' /proc/[0-9]*/cgroup 2>/dev/null | head -n 1 | cut -d/ -f3)"
            ' && exec nsenter -t "$pid" -n -- "$@"'
        )
        argv = ["exec", "-i", *door, "--", "sh", "-c", script, "sh", *command]
        return self.run(*argv, stdin=stdin)

    def agent(self, node: str) -> str:
        """Name the agent pod of a node."""
        found = self.get(
            "pods",
            "-n",
            SYSTEM,
            "-l",
            "app.kubernetes.io/component=node-agent",
            f"--field-selector=spec.nodeName={node},status.phase=Running",
        )
        return str(found["items"][0]["metadata"]["name"])


def eventually(
    look: Callable[[], T], is_so: Callable[[T], object] = bool, within: float = PATIENCE
) -> T:
    """Look until what is seen is so, and return it; else fail with what was seen last."""
    deadline = time.monotonic() + within
    while True:
        seen = look()
        if is_so(seen):
            return seen
        assert time.monotonic() < deadline, f"not so within {within:.0f} s: {seen}"
        time.sleep(0.2)
