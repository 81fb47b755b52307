"""Cluster DNS: its well-known address, with nothing behind it yet.

The kubelet tells every pod to ask 10.96.0.10. A Service without endpoints makes kube-proxy reject
what is sent there, so that a lookup fails at once; without the Service it would be dropped, and
each lookup would take its time-outs.
"""

import json

from local_cluster.checkout import Checkout
from local_cluster.commands import run
from local_cluster.node import DNS_SERVICE_ADDRESS


def ensure(checkout: Checkout) -> None:
    """Create the Service unless it is there."""
    options = [f"--kubeconfig={checkout.kubeconfig}", "apply", "--filename=-"]
    run([checkout.bin / "kubectl", *options], stdin=service())


def service() -> str:
    """Render the Service that holds the address."""
    protocols = {"dns": "UDP", "dns-tcp": "TCP"}
    ports = [{"name": name, "port": 53, "protocol": kind} for name, kind in protocols.items()]
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {"clusterIP": str(DNS_SERVICE_ADDRESS), "ports": ports},
    }
    return json.dumps(manifest)
