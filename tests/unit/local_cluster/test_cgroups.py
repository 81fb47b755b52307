"""A node's cgroup, on the hierarchies that a machine has."""

from pathlib import Path

from local_cluster.cgroups import Hierarchy, create_v1, create_v2, hierarchies

V2 = """\
sysfs /sys sysfs rw,nosuid 0 0
cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nsdelegate 0 0
"""
HYBRID = """\
tmpfs /sys/fs/cgroup tmpfs ro 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0
"""


def test_a_machine_with_cgroup_v2() -> None:
    """There is one hierarchy."""
    assert hierarchies(V2) == [Hierarchy(Path("/sys/fs/cgroup"), 2)]


def test_a_machine_with_both() -> None:
    """Each controller's hierarchy and the unified one, which has no controllers."""
    assert hierarchies(HYBRID) == [
        Hierarchy(Path("/sys/fs/cgroup/unified"), 2),
        Hierarchy(Path("/sys/fs/cgroup/cpu,cpuacct"), 1),
        Hierarchy(Path("/sys/fs/cgroup/systemd"), 1),
    ]


def test_on_v2_the_node_gets_the_kubelets_controllers_and_no_others(tmp_path: Path) -> None:
    """The kubelet refuses a root cgroup without them; handing down more is none of our business."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids rdma misc\n")
    handed_down = tmp_path / "cgroup.subtree_control"

    create_v2(tmp_path, "traffic-capture-node1")

    assert (tmp_path / "traffic-capture-node1").is_dir()
    assert handed_down.read_text() == "+pids"  # one write each: the last one is what a file keeps


def test_on_v1_a_new_cpuset_is_not_left_empty(tmp_path: Path) -> None:
    """Nothing may run in an empty one."""
    (tmp_path / "cpuset.cpus").write_text("0-1\n")
    (tmp_path / "cpuset.mems").write_text("0\n")

    create_v1(tmp_path / "traffic-capture-node1")

    assert (tmp_path / "traffic-capture-node1" / "cpuset.cpus").read_text() == "0-1\n"
    assert (tmp_path / "traffic-capture-node1" / "cpuset.mems").read_text() == "0\n"
