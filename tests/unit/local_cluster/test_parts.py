"""How the parts are started."""

import re

from local_cluster import control_plane, node_parts
from local_cluster.checkout import Checkout
from local_cluster.node import Node
from local_cluster.parts import flags
from local_cluster.versions import KUBERNETES

NODE = Node(1)


def test_flags_are_spelled_as_kubernetes_spells_them() -> None:
    """Dashes for underscores, booleans in lower case."""
    assert flags(secure_port=6443, leader_elect=False) == (
        "--secure-port=6443",
        "--leader-elect=false",
    )


def test_every_part_has_a_name_of_its_own() -> None:
    """The name is the log's, and what `status` shows."""
    parts = [
        control_plane.etcd(),
        control_plane.api_server(NODE),
        control_plane.controller_manager(),
        control_plane.scheduler(),
        node_parts.containerd(),
        node_parts.kubelet(NODE),
        node_parts.kube_proxy(NODE),
    ]

    assert len({part.name for part in parts}) == len(parts)


def test_the_kubelet_is_shown_its_own_kernel_settings() -> None:
    """It must not write the machine's, and gets its arguments as they are."""
    *shield, program, configuration = node_parts.kubelet(NODE).argv[:-4]

    assert shield[:4] == ["unshare", "--mount", "--propagation", "unchanged"]
    assert "/proc/sys/kernel/panic " in shield[6]
    assert program.endswith("/kubelet")
    assert configuration.startswith("--config=")


def test_the_version_that_is_stamped_is_the_one_that_is_built() -> None:
    """What kubectl and Helm go by is what the API server says it is."""
    module = (Checkout.this().sources / "control-plane" / "go.mod").read_text()
    required = re.search(r"^\s*k8s\.io/kubernetes (v\S+)$", module, re.MULTILINE)

    assert required is not None
    assert required[1] == KUBERNETES
