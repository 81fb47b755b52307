"""Certificates and kubeconfigs, as openssl itself reads them."""

import base64
import json
from pathlib import Path

import pytest

from local_cluster.checkout import Checkout
from local_cluster.commands import run
from local_cluster.credentials import write_control_plane_credentials, write_node_credentials
from local_cluster.node import Node


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a checkout whose cluster has its credentials."""
    checkout = Checkout(tmp_path_factory.mktemp("checkout"))
    checkout.control_plane.mkdir(parents=True)
    authority = write_control_plane_credentials(checkout)
    etc = checkout.node(Node(2)).etc
    etc.mkdir(parents=True)
    write_node_credentials(authority, Node(2), etc)
    return checkout


def test_every_certificate_is_the_authoritys(checkout: Checkout) -> None:
    """Or its bearer is refused."""
    folder = checkout.control_plane
    certificates = sorted(set(folder.glob("*.crt")) - {folder / "ca.crt"})

    verified = run(["openssl", "verify", "-CAfile", folder / "ca.crt", *certificates])

    assert verified.splitlines() == [f"{certificate}: OK" for certificate in certificates]


def test_the_api_server_is_known_by_its_service_and_its_addresses(checkout: Checkout) -> None:
    """Pods call it 10.96.0.1, kubeconfigs by the node's address."""
    names = _shown(checkout.control_plane / "apiserver.crt", "-ext", "subjectAltName")

    for name in ("DNS:kubernetes.default.svc", "10.96.0.1", "192.168.77.2", "127.0.0.1"):
        assert name in names


def test_a_kubelet_is_its_node_and_no_administrator(checkout: Checkout) -> None:
    """The node authorizer goes by this name."""
    subject = _shown(checkout.control_plane / "node2-kubelet.crt", "-subject")

    assert "system:nodes" in subject
    assert "system:node:node2" in subject


def test_a_node_has_the_authoritys_certificate_but_not_its_key(checkout: Checkout) -> None:
    """Its kubelet knows the API server by it, and can issue nothing."""
    names = {path.name for path in checkout.node(Node(2)).etc.iterdir()}

    assert names == {"ca.crt", "kubelet.kubeconfig", "kube-proxy.kubeconfig"}
    assert (checkout.node(Node(2)).etc / "ca.crt").read_bytes() == _read(checkout, "ca.crt")


def test_the_kubeconfig_carries_its_certificates(checkout: Checkout) -> None:
    """So it works from any folder; nobody else may read it."""
    kubeconfig = json.loads(checkout.kubeconfig.read_text())
    cluster, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]

    assert cluster["server"] == "https://192.168.77.2:6443"
    assert _decoded(cluster["certificate-authority-data"]) == _read(checkout, "ca.crt")
    assert _decoded(user["client-certificate-data"]) == _read(checkout, "admin.crt")
    assert _decoded(user["client-key-data"]) == _read(checkout, "admin.key")
    assert checkout.kubeconfig.stat().st_mode & 0o777 == 0o600


def _shown(certificate: Path, *what: str) -> str:
    return run(["openssl", "x509", "-in", certificate, "-noout", *what])


def _decoded(text: str) -> bytes:
    return base64.b64decode(text)


def _read(checkout: Checkout, name: str) -> bytes:
    return (checkout.control_plane / name).read_bytes()
