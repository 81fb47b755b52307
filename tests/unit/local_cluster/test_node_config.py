"""The files that a node's parts read."""

import json
import tomllib
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from local_cluster.checkout import NodeFolder
from local_cluster.inside import CONTAINERD_SOCKET, NRI_SOCKET
from local_cluster.inside import NODE as NODE_INSIDE
from local_cluster.node import Node
from local_cluster.node_config import (
    PAUSE_IMAGE,
    containerd_toml,
    kubelet_json,
    pod_network_conflist,
)
from local_cluster.start import write_folder

NODE = Node(2)


def test_containerd_listens_where_the_kubelet_calls() -> None:
    """Both files name the same socket."""
    containerd = tomllib.loads(containerd_toml("overlayfs"))
    kubelet = json.loads(kubelet_json(NODE))

    assert containerd["grpc"]["address"] == str(CONTAINERD_SOCKET)
    assert kubelet["containerRuntimeEndpoint"] == f"unix://{CONTAINERD_SOCKET}"


def test_nri_is_on() -> None:
    """Node agents connect as plugins."""
    nri = tomllib.loads(containerd_toml("overlayfs"))["plugins"]["io.containerd.nri.v1.nri"]

    assert (nri["disable"], nri["socket_path"]) == (False, str(NRI_SOCKET))


def test_pods_may_require_plugins() -> None:
    """By annotation; of the others none is required, or no agent would ever start."""
    nri = tomllib.loads(containerd_toml("overlayfs"))["plugins"]["io.containerd.nri.v1.nri"]

    assert nri["default_validator"] == {"enable": True}


def test_containerd_uses_the_sandbox_image_and_the_snapshotter() -> None:
    """Neither is containerd's default."""
    images = tomllib.loads(containerd_toml("native"))["plugins"]["io.containerd.cri.v1.images"]

    assert images["snapshotter"] == "native"
    assert images["pinned_images"] == {"sandbox": PAUSE_IMAGE}


def test_a_dual_stack_pod_gets_an_address_and_a_default_route_of_each_family() -> None:
    """One range and one route per network."""
    ipam = _ipam(NODE.pods_v4, NODE.pods_v6)

    assert ipam["ranges"] == [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:10:244:1::/64"}]]
    assert ipam["routes"] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]


def test_a_machine_without_ipv6_gives_pods_ipv4_only() -> None:
    """No route of the other family, which could not be added."""
    ipam = _ipam(NODE.pods_v4)

    assert ipam["ranges"] == [[{"subnet": "10.244.1.0/24"}]]
    assert ipam["routes"] == [{"dst": "0.0.0.0/0"}]


def test_each_kubelet_keeps_to_its_nodes_cgroup() -> None:
    """Two kubelets on one machine must not meet."""
    assert json.loads(kubelet_json(NODE))["cgroupRoot"] == "/traffic-capture-node2"


def test_static_pods_are_read_from_a_folder_of_the_node(tmp_path: Path) -> None:
    """The one that is there when the kubelet starts, under the name that it has inside."""
    folder = NodeFolder(tmp_path)
    write_folder(folder, NODE)
    assert folder.static_pods.is_dir()
    inside = NODE_INSIDE / folder.static_pods.relative_to(tmp_path)
    assert json.loads((folder.etc / "kubelet.json").read_text())["staticPodPath"] == str(inside)


def test_a_full_disk_evicts_nothing() -> None:
    """The machine's disk is not the cluster's."""
    evictions = json.loads(kubelet_json(NODE))["evictionHard"]

    disks = {name: value for name, value in evictions.items() if "fs." in name}
    assert set(disks.values()) == {"0%"}


def _ipam(*ranges: IPv4Network | IPv6Network) -> dict[str, object]:
    ipam: dict[str, object] = json.loads(pod_network_conflist(ranges))["plugins"][0]["ipam"]
    return ipam
