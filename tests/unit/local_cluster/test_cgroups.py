"""Which cgroup hierarchies a machine has."""

from pathlib import Path

from local_cluster.cgroups import Hierarchy, hierarchies

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
