"""Sandboxes as each runtime describes them."""

from typing import Any

import pytest

from capture_nri.nri_pb2 import LinuxNamespace, LinuxPodSandbox, PodSandbox
from capture_nri.pod_sandboxes import pod_sandbox
from unit.capture_nri.runtime_side import UID, containerd_pod

CRI_O: dict[str, Any] = {
    "id": "0d6f5bd3b5a1f2b4c7e9d8a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6",
    "name": "web",
    "uid": UID,
    "namespace": "demo",
    "labels": {"app": "web", "io.kubernetes.container.name": "POD"},
    "annotations": {"kubernetes.io/config.source": "api"},
}


def network(*paths: str) -> LinuxPodSandbox:
    """Describe namespaces: those of any pod, and the network namespaces at these paths."""
    kinds = [LinuxNamespace(type="ipc"), LinuxNamespace(type="uts", path="/var/run/utsns/1")]
    return LinuxPodSandbox(
        namespaces=[*kinds, *(LinuxNamespace(type="network", path=path) for path in paths)]
    )


def test_containerd_2_tells_everything() -> None:
    """UID, path, addresses of both families, and the pid of the pause process."""
    sandbox = pod_sandbox(containerd_pod())
    assert (sandbox.uid, sandbox.namespace, sandbox.name) == (UID, "demo", "web")
    assert sandbox.labels["app"] == "web"
    assert sandbox.annotations["kubernetes.io/config.source"] == "api"
    assert sandbox.netns_path == "/var/run/netns/cni-9d3b8d1c-67e0-9c3c-8a5c-1f7a3d3f2c10"
    assert sandbox.pid == 11168
    assert sandbox.ips == ("10.244.0.7", "fd00:10:244::7")


def test_containerd_1_7_does_not_tell_addresses() -> None:
    """Neither does 2.0: they are read in the namespace."""
    described = containerd_pod()
    described.ClearField("ips")
    assert pod_sandbox(described).ips == ()


@pytest.mark.parametrize("folder", ["/var/run/netns", "/run/netns"])
@pytest.mark.parametrize(
    ("told", "pid", "ips"),
    [
        ({}, 0, ()),  # drop_infra_ctr: no pause process; before 1.32, no addresses
        ({"ips": ["10.85.0.4"]}, 0, ("10.85.0.4",)),
        ({"pid": 4711, "runtime_handler": "runc"}, 4711, ()),
    ],
)
def test_cri_o_names_the_namespace_by_its_path(
    folder: str, told: dict[str, Any], pid: int, ips: tuple[str, ...]
) -> None:
    """With or without an infra container, and with or without addresses."""
    path = f"{folder}/5d3a8a4f-8e0b-4a41-9d0a-3f1f6f9a4a51"
    sandbox = pod_sandbox(PodSandbox(**CRI_O, **told, linux=network(path)))
    assert (sandbox.uid, sandbox.netns_path, sandbox.pid, sandbox.ips) == (UID, path, pid, ips)


@pytest.mark.parametrize("linux", [None, network(), network("")])
def test_a_pod_on_the_hosts_network_has_no_path(linux: LinuxPodSandbox | None) -> None:
    """Runtimes leave out the namespace, or its path."""
    assert pod_sandbox(PodSandbox(**CRI_O, linux=linux)).netns_path is None


def test_two_network_namespaces_are_as_good_as_none() -> None:
    """Which one would be the pod's? The right namespace or none."""
    linux = network("/run/netns/a", "/run/netns/b")
    assert pod_sandbox(PodSandbox(**CRI_O, linux=linux)).netns_path is None


def test_what_was_told_can_not_change() -> None:
    """Labels and annotations are read-only, and those of the sandbox alone."""
    described = containerd_pod()
    sandbox = pod_sandbox(described)
    described.labels["app"] = "other"
    assert sandbox.labels["app"] == "web"
    with pytest.raises(TypeError):
        sandbox.labels["app"] = "other"  # type: ignore[index]
