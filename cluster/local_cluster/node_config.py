"""The files that a node's parts read, rendered from the node's value."""

import json
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from local_cluster.inside import (
    CNI_PLUGINS,
    CONTAINERD_SOCKET,
    ETC,
    NRI_SOCKET,
    STATIC_PODS,
    VOLUME_PLUGINS,
)
from local_cluster.node import DNS_SERVICE_ADDRESS, Node

PAUSE_IMAGE = "localhost/pause:1"


def containerd_toml(snapshotter: str) -> str:
    """Render containerd's configuration: CRI with our CNI folder and sandbox image, NRI on.

    The snapshotter is containerd's name for how images become file systems. Inside a container the
    kernel refuses a lower OOM score, hence `restrict_oom_score_adj`; AppArmor profiles would be
    loaded into the host's kernel. The validator lets pods require NRI plugins by annotation.
    `bin_dir` is the name that containerd 2.0 knows, too.
    """
    return f"""\
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "{snapshotter}"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{PAUSE_IMAGE}"

[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true

  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{ETC}/cni"

[plugins."io.containerd.nri.v1.nri"]
  disable = false
  socket_path = "{NRI_SOCKET}"

  [plugins."io.containerd.nri.v1.nri".default_validator]
    enable = true
"""


def pod_network_conflist(ranges: Sequence[IPv4Network | IPv6Network]) -> str:
    """Render the CNI configuration: a veth and a route per pod, an address from each range.

    Not a bridge: between two pods on one, the answer of a Service's endpoint would go past
    conntrack, with an address that the client never asked, unless br_netfilter is loaded, and that
    would change how the host's own bridges behave.
    """
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": str(network)}] for network in ranges],
        "routes": [{"dst": str(network.supernet(new_prefix=0))} for network in ranges],
        "dataDir": "/run/cni-ipam",
    }
    veth = {"type": "ptp", "ipMasq": True, "ipam": ipam}
    return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [veth]}, indent=2)


def kubelet_json(node: Node) -> str:
    """Render the kubelet's configuration.

    Nothing is evicted or garbage-collected because the machine's disk happens to be full, and
    swap and cgroup v1 are no reason not to start. The DNS address has no service behind it yet;
    naming it spares every pod a `MissingClusterDNS` event.
    """
    disks = ("nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree")
    configuration = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{ETC}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [str(DNS_SERVICE_ADDRESS)],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{ETC}/resolv.conf",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "maxPods": 250,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", **dict.fromkeys(disks, "0%")},
        "staticPodPath": str(STATIC_PODS),
        "volumePluginDir": str(VOLUME_PLUGINS),
    }
    return json.dumps(configuration, indent=2)
