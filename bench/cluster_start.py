"""How long a pod takes from its sandbox to its first container: captured by us, or by itself.

Three pods in turn: one that nothing captures, one that our answer captures before the runtime goes
on, one with an init container that writes the same rules. What the first takes is Kubernetes' own;
what the others take beyond it is the price of the rules.
"""

import json
from typing import Any, Final

import programs
from cluster_pods import BenchCluster, pod_manifest
from figures import AtMost, Figure
from local_cluster import inside
from timing import median

STARTS = 60
"""Of pods without an init container: they differ by less than the starts of each do."""
INIT_EVERY = 3
RESIDENTS = 100
"""Pods that are there all the time; those of the cluster itself come on top."""

_AGENTS: Final = ("traffic-capture-system", "daemonset")
_SANDBOX: Final = "io.kubernetes.cri.sandbox-id"
_MILLI = 1e3

_CAPTURE: Final = {
    "apiVersion": "trafficcapture.io/v1alpha1",
    "kind": "TrafficCapture",
    "metadata": {"name": "start"},
    "spec": {
        "podSelector": {"matchLabels": {"app": "captured"}},
        "chainPrefix": "ISTIO",
        "inbound": {"redirectPort": 15001, "include": [{"ports": ["80"]}]},
        "outbound": {"redirectPort": 15001, "loopback": "Redirect"},
    },
}


def measure(bench: BenchCluster) -> list[Figure]:
    """Start pods of each kind in turn, and give the medians in milliseconds."""
    image = _agent_image(bench)
    plain: list[float] = []
    captured: list[float] = []
    init: list[float] = []
    with bench.running_pods(RESIDENTS):
        bench.kubectl("apply", "--filename=-", stdin=json.dumps(_CAPTURE))
        bench.kubectl("wait", "tcap/start", "--for=condition=Ready", "--timeout=60s")
        for turn in range(STARTS):
            # In either order: what the one before leaves behind is nobody's price.
            for app, starts in (("plain", plain), ("captured", captured))[:: 1 - 2 * (turn % 2)]:
                starts.append(_started(bench, _pod(app)))
            if turn % INIT_EVERY == 0:
                init.append(_started(bench, _pod("init", initContainers=[_init(image)])))
        bench.kubectl("delete", "tcap", "start", "--timeout=2m")
    return [
        Figure(
            name="pod-start",
            what="what the rules add to the time from a pod's sandbox to its container, medians",
            # Less than nothing is noise of Kubernetes' own.
            ours=max(0.0, median(captured) - median(plain)) * _MILLI,
            reference=(median(init) - median(plain)) * _MILLI,
            compared_with="an init container that runs iptables-restore with the same rules",
            unit="ms",
            goal=AtMost(5),
            details={
                "uncaptured median": median(plain) * _MILLI,
                "captured median": median(captured) * _MILLI,
                "with init container median": median(init) * _MILLI,
            },
        )
    ]


def _started(bench: BenchCluster, pod: dict[str, Any]) -> float:
    """Seconds from the creation of a pod's sandbox to that of its container."""
    name = pod["metadata"]["name"]
    bench.kubectl("apply", "--filename=-", stdin=json.dumps(pod))
    bench.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")
    (status,) = json.loads(bench.kubectl("get", f"pod/{name}", "--output=json"))["status"][
        "containerStatuses"
    ]
    container = _described(bench, status["containerID"].removeprefix("containerd://"))
    sandbox = _described(bench, container["Spec"]["annotations"][_SANDBOX])
    bench.kubectl("delete", f"pod/{name}", "--timeout=60s")
    return _seconds(container["CreatedAt"]) - _seconds(sandbox["CreatedAt"])


def _described(bench: BenchCluster, container: str) -> dict[str, Any]:
    client = (str(inside.BIN / "ctr"), "--address", str(inside.CONTAINERD_SOCKET))
    printed = bench.on_node(*client, "--namespace", "k8s.io", "containers", "info", container)
    found: dict[str, Any] = json.loads(printed)
    return found


def _seconds(timestamp: str) -> float:
    """Seconds of the day of an RFC 3339 time with nanoseconds, in UTC."""
    clock = timestamp.partition("T")[2].removesuffix("Z")
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _agent_image(bench: BenchCluster) -> str:
    system, kind = _AGENTS
    listed = json.loads(bench.kubectl("get", kind, f"--namespace={system}", "--output=json"))
    (container,) = listed["items"][0]["spec"]["template"]["spec"]["containers"]
    return str(container["image"])


def _init(image: str) -> dict[str, Any]:
    restore = f"iptables-restore --noflush <<'RULES'\n{programs.restored()}RULES\n"
    return {
        "name": "init",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", restore],
        "securityContext": {
            "runAsUser": 0,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]},
        },
    }


def _pod(app: str, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a pod's spec
    described = pod_manifest(f"start-{app}", app)
    described["spec"] |= spec
    return described
