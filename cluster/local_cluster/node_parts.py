"""A node's own parts and how each is started."""

from local_cluster.inside import BIN, ETC, KUBELET_ROOT
from local_cluster.kubelet_sysctls import shielded
from local_cluster.node import Node
from local_cluster.parts import Part, flags


def containerd() -> Part:
    """Return the container runtime."""
    return Part(
        "containerd", (f"{BIN}/containerd", *flags(config=ETC / "containerd.toml")), restarts=True
    )


def kubelet(node: Node) -> Part:
    """Return the kubelet, kept from the machine's kernel settings."""
    options = flags(
        config=ETC / "kubelet.json",
        kubeconfig=ETC / "kubelet.kubeconfig",
        root_dir=KUBELET_ROOT,
        hostname_override=node.name,
        node_ip=node.address,
    )
    return Part("kubelet", shielded((f"{BIN}/kubelet", *options)), restarts=True)


def kube_proxy(node: Node) -> Part:
    """Return the service proxy; it leaves the machine's conntrack table at the size it has."""
    options = flags(
        kubeconfig=ETC / "kube-proxy.kubeconfig",
        proxy_mode="nftables",
        hostname_override=node.name,
        conntrack_max_per_core=0,
    )
    return Part("kube-proxy", (f"{BIN}/kube-proxy", *options))
