"""Keeps the kubelet from changing the machine's kernel settings.

The kubelet insists on some settings that no namespace has a copy of: how the whole machine takes
a panic, or an overcommit of memory. It reads each, and writes those that differ. Here it finds
files of the node's own in their places, and nothing to write. Only the kubelet: in its own mount
namespace, whose mounts below /proc are private and whose others are shared with the node, since
containerd has to see the volumes that it mounts.
"""

from pathlib import Path

from local_cluster.inside import RUN

FILES = RUN / "sysctl"
# setupKernelTunables in pkg/kubelet/cm/container_manager_linux.go
WANTED = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def write_files(folder: Path = FILES) -> None:
    """Write the files that the kubelet is shown."""
    for name, value in WANTED.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")


def shielded(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command that runs `argv` with these files in the settings' places."""
    binds = [f"mount --bind {FILES}/{name} /proc/sys/{name}" for name in WANTED]
    script = " && ".join(["mount --make-rprivate /proc", *binds, 'exec "$@"'])
    unshare = ("unshare", "--mount", "--propagation", "unchanged")
    return (*unshare, "sh", "-c", script, "kubelet", *argv)
