"""Pods and captures for the cluster tests."""

from typing import Any

from cluster.kube import IMAGE

LISTEN = """\
import socket, time
server = socket.create_server(("::", {port}), family=socket.AF_INET6, dualstack_ipv6=True)
time.sleep(1e6)
"""


def pod(name: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:  # noqa: ANN401
    """Describe a pod that listens on the redirect port 15001 and does nothing else."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "containers": [container(15001)],
            **spec,
        },
    }


def container(port: int) -> dict[str, Any]:
    """Describe a container, without any rights, that listens on a port."""
    return {
        "name": "main",
        "image": IMAGE,
        "command": ["python3", "-c", LISTEN.format(port=port)],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def capture(name: str, app: str = "web", **spec: Any) -> dict[str, Any]:  # noqa: ANN401
    """Describe the capture of DESIGN's reference rule set, for pods labelled `app`."""
    return {
        "apiVersion": "trafficcapture.io/v1alpha1",
        "kind": "TrafficCapture",
        "metadata": {"name": name},
        "spec": {
            "podSelector": {"matchLabels": {"app": app}},
            "chainPrefix": "ISTIO",
            "proxy": {"uids": [1337], "gids": [1337]},
            "inbound": {"redirectPort": 15001, "include": [{"ports": ["80"]}]},
            "outbound": {"redirectPort": 15001, "loopback": "Redirect"},
            **spec,
        },
    }
