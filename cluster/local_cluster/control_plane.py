"""The control plane's parts and how each is started."""

from local_cluster.inside import BIN, CONTROL_PLANE, VOLUME_PLUGINS
from local_cluster.node import API_PORT, SERVICE_NETWORK, Node
from local_cluster.parts import Part, flags

ETCD_CLIENT = "http://127.0.0.1:2379"
ETCD_PEER = "http://127.0.0.1:2380"


def etcd() -> Part:
    """Return the store. It skips fsync: this cluster's data doesn't outlive its node."""
    options = flags(
        data_dir="/var/lib/etcd",
        listen_client_urls=ETCD_CLIENT,
        advertise_client_urls=ETCD_CLIENT,
        listen_peer_urls=ETCD_PEER,
        initial_advertise_peer_urls=ETCD_PEER,
        initial_cluster=f"default={ETCD_PEER}",
        unsafe_no_fsync=True,
    )
    return Part("etcd", (f"{BIN}/etcd", *options))


def api_server(node: Node) -> Part:
    """Return the API server, listening on the node's address."""
    options = flags(
        etcd_servers=ETCD_CLIENT,
        secure_port=API_PORT,
        advertise_address=node.address,
        tls_cert_file=CONTROL_PLANE / "apiserver.crt",
        tls_private_key_file=CONTROL_PLANE / "apiserver.key",
        client_ca_file=CONTROL_PLANE / "ca.crt",
        kubelet_client_certificate=CONTROL_PLANE / "kubelet-client.crt",
        kubelet_client_key=CONTROL_PLANE / "kubelet-client.key",
        kubelet_preferred_address_types="InternalIP",
        service_account_key_file=CONTROL_PLANE / "service-account.key",
        service_account_signing_key_file=CONTROL_PLANE / "service-account.key",
        service_account_issuer="https://kubernetes.default.svc.cluster.local",
        service_cluster_ip_range=SERVICE_NETWORK,
        authorization_mode="Node,RBAC",
        enable_admission_plugins="NodeRestriction",
        allow_privileged=True,
    )
    return Part("kube-apiserver", (f"{BIN}/kube-apiserver", *options), restarts=True)


def controller_manager() -> Part:
    """Return the controllers, each with a service account of its own.

    A node that was killed is NotReady after 30 seconds instead of 50: its kubelet reports every 10.
    """
    options = flags(
        kubeconfig=CONTROL_PLANE / "controller-manager.kubeconfig",
        root_ca_file=CONTROL_PLANE / "ca.crt",
        service_account_private_key_file=CONTROL_PLANE / "service-account.key",
        use_service_account_credentials=True,
        leader_elect=False,
        node_monitor_grace_period="30s",
        flex_volume_plugin_dir=VOLUME_PLUGINS,
    )
    return Part("kube-controller-manager", (f"{BIN}/kube-controller-manager", *options))


def scheduler() -> Part:
    """Return the scheduler."""
    kubeconfig = CONTROL_PLANE / "scheduler.kubeconfig"
    options = flags(kubeconfig=kubeconfig, leader_elect=False)
    return Part("kube-scheduler", (f"{BIN}/kube-scheduler", *options))
