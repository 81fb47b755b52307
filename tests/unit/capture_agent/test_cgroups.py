"""A process's pod is read from its cgroup paths, in every form kubelets and runtimes write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_agent.cgroups import pod_uid

UID = "0f7f1f0e-6a53-4c0b-9d0e-2f4ad3c0ffee"
OTHER = "11111111-2222-3333-4444-555555555555"
SLICE_UID = UID.replace("-", "_")
STATIC = "8d1b9e3a44b0f4c2a7f00c3b5e6d7f81"
CONTAINER = "c0ffee" * 10 + "beef"
V1 = ("name=systemd", "pids", "memory", "cpu,cpuacct", "freezer")


def v1(*paths: str) -> str:
    """Write the file of a node with cgroup v1: a line for each controller."""
    return "".join(
        f"{number}:{controller}:{path}\n"
        for number, (controller, path) in enumerate(zip(V1, paths, strict=False), 1)
    )


@pytest.mark.parametrize(
    "path",
    [
        f"/kubepods/burstable/pod{UID}/{CONTAINER}",
        f"/kubepods/pod{UID}/{CONTAINER}",
        f"/kubepods/pod{UID}",
        f"/kubepods/besteffort/pod{UID}/crio-{CONTAINER}",
        (
            "/kubepods.slice/kubepods-burstable.slice/"
            f"kubepods-burstable-pod{SLICE_UID}.slice/cri-containerd-{CONTAINER}.scope"
        ),
        f"/kubepods.slice/kubepods-pod{SLICE_UID}.slice/cri-containerd-{CONTAINER}.scope",
        (
            "/kubepods.slice/kubepods-besteffort.slice/"
            f"kubepods-besteffort-pod{SLICE_UID}.slice/crio-{CONTAINER}.scope"
        ),
        (
            "/kubepods.slice/kubepods-besteffort.slice/"
            f"kubepods-besteffort-pod{SLICE_UID}.slice/crio-conmon-{CONTAINER}.scope"
        ),
        f"/kubepods-burstable-pod{SLICE_UID}.slice:cri-containerd:{CONTAINER}",
        f"/system.slice/containerd.service/kubepods-pod{SLICE_UID}.slice:cri-containerd:{CONTAINER}",
        f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{SLICE_UID}.slice/c.scope",
        f"/../../pod{UID}/{CONTAINER}",
        f"/../../kubepods-burstable-pod{SLICE_UID}.slice/cri-containerd-{CONTAINER}.scope",
        f"/../../../burstable/pod{UID}/{CONTAINER}",
    ],
)
def test_the_pod_is_found_in_every_form_of_path(path: str) -> None:
    """Both drivers, containerd and CRI-O, with and without a cgroup namespace, on v1 and v2."""
    assert pod_uid(f"0::{path}\n") == UID
    assert pod_uid(v1(*[path] * 5) + "0::/\n") == UID


@pytest.mark.parametrize(
    "path", [f"/kubepods/burstable/pod{STATIC}/c", f"/kubepods.slice/kubepods-pod{STATIC}.slice/c"]
)
def test_a_static_pod_is_named_by_the_hash_of_its_manifest(path: str) -> None:
    """The UID of its mirror is another one, so it can only be told apart."""
    assert pod_uid(f"0::{path}\n") == STATIC


@pytest.mark.parametrize(
    "cgroup",
    [
        "",
        "\n",
        "0::/\n",
        "0::/init.scope\n",
        "0::/../cri-containerd-x.scope\n",
        "0::/system.slice/containerd.service\n",
        f"0::/user.slice/notpod{UID}\n",
        f"0::/kubepods/pod{UID}x/c\n",
        f"0::/kubepods/pod{UID[:-1]}/c\n",
        f"0::/kubepods/pod{UID.upper()}/c\n",
        "garbage",
    ],
)
def test_a_process_of_no_pod_has_none(cgroup: str) -> None:
    """System services, the agent itself, and what only looks like a pod."""
    assert pod_uid(cgroup) is None


def test_controllers_of_v1_that_disagree_name_no_pod() -> None:
    """A process that was moved in one hierarchy could be anybody's."""
    own, foreign = f"/kubepods/pod{UID}/c", f"/kubepods/pod{OTHER}/c"
    assert pod_uid(v1(own, own, foreign)) is None


def test_controllers_of_v1_that_name_no_pod_do_not_count() -> None:
    """Runtimes leave some hierarchies at the root."""
    assert pod_uid(v1("/", f"/kubepods/pod{UID}/c", "/")) == UID


@pytest.mark.parametrize(
    "name",
    [
        f"pod{OTHER}",
        f"x-pod{OTHER}.slice",
        f"kubepods-pod{OTHER.replace('-', '_')}.slice:cri-containerd:x",
        f"a:b:/kubepods/pod{OTHER}",
    ],
)
def test_a_cgroup_nested_by_a_container_does_not_change_its_pod(name: str) -> None:
    """Whoever has a cgroup may create others in it, named as they like."""
    assert pod_uid(f"0::/kubepods/pod{UID}/c/{name}/x\n") == UID


@pytest.mark.parametrize("end", ["\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028"])
def test_only_a_newline_ends_a_line(end: str) -> None:
    """Else a cgroup's name could add a line, and its process would seem to be of no one pod."""
    assert pod_uid(f"0::/kubepods/pod{UID}/c/x{end}0::/kubepods/pod{OTHER}\n") == UID


@given(st.text())
def test_no_text_is_too_strange_to_be_read(text: str) -> None:
    """The answer is a UID or nothing."""
    found = pod_uid(text)
    assert found is None or len(found) in {32, 36}
