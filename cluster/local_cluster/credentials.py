"""Who may speak to the API server, and as whom."""

import shutil
from pathlib import Path

from local_cluster.checkout import Checkout
from local_cluster.kubeconfig import kubeconfig
from local_cluster.node import API_PORT, API_SERVICE_ADDRESS, CONTROL_PLANE_NODE, Node
from local_cluster.pki import Authority, create_key

SERVER = f"https://{CONTROL_PLANE_NODE.address}:{API_PORT}"


def write_control_plane_credentials(checkout: Checkout) -> Authority:
    """Make the authority, the control plane's certificates and the administrator's kubeconfig."""
    folder = checkout.control_plane
    authority = Authority.create(folder)
    create_key(folder / "service-account.key")
    authority.issue("apiserver", "/CN=kube-apiserver", _api_server_names())
    authority.issue("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
    authority.issue("admin", "/O=system:masters/CN=admin")
    _write_private(checkout.kubeconfig, kubeconfig(SERVER, folder, "admin"))
    for name in ("controller-manager", "scheduler"):
        authority.issue(name, f"/CN=system:kube-{name}")
        _write_private(folder / f"{name}.kubeconfig", kubeconfig(SERVER, folder, name))
    return authority


def write_node_credentials(authority: Authority, node: Node, etc: Path) -> None:
    """Make the kubeconfigs of a node's kubelet and kube-proxy, and tell it the authority."""
    shutil.copy(authority.folder / "ca.crt", etc)
    subjects = {
        "kubelet": f"/O=system:nodes/CN=system:node:{node.name}",
        "kube-proxy": "/CN=system:kube-proxy",
    }
    for name, subject in subjects.items():
        issued = f"{node.name}-{name}"
        authority.issue(issued, subject)
        _write_private(etc / f"{name}.kubeconfig", kubeconfig(SERVER, authority.folder, issued))


def _api_server_names() -> list[str]:
    service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    names = ["localhost", *service, "kubernetes.default.svc.cluster.local"]
    addresses = ["127.0.0.1", str(API_SERVICE_ADDRESS), str(CONTROL_PLANE_NODE.address)]
    return [*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses)]


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
