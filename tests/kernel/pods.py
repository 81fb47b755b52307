"""Stand-ins for pods: processes with a network namespace, a pod's cgroup and an address."""

import contextlib
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from capture_agent.processes import read_process
from capture_agent.sandboxes import Sandbox

_UNIFIED = Path("/sys/fs/cgroup/unified")
CGROUPS = (_UNIFIED if _UNIFIED.exists() else Path("/sys/fs/cgroup")) / "traffic-capture-tests"
ADDRESS = "10.9.8.7"


@dataclass(frozen=True, slots=True)
class Pod:
    """A process that looks like the sandbox of a pod."""

    uid: str
    pid: int

    def sandbox(self, *pod_ips: str) -> Sandbox:
        """Claim what is true of this pod; by default its address too."""
        process = read_process(self.pid)
        assert process is not None
        return Sandbox(
            pod_uid=self.uid,
            pid=self.pid,
            start_time=process.start_time,
            netns=process.netns,
            pod_ips=pod_ips or (ADDRESS,),
        )

    def run(self, *argv: str, stdin: str = "") -> str:
        """Run a command in the pod's network namespace, as somebody in the pod would."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.pid), "-n", *argv],
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


@contextlib.contextmanager
def started_pod(*, own_netns: bool = True) -> Iterator[Pod]:
    """Start a pod for the block: in a network namespace of its own, or in the host's."""
    uid = str(uuid.uuid4())
    cgroup = CGROUPS / "kubepods" / f"pod{uid}" / "c1"
    cgroup.mkdir(parents=True)
    # `cat` ends when its input does, and says by its echo that it runs.
    argv = ["unshare", "--net", "cat"] if own_netns else ["cat"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"up\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"up\n"
        (cgroup / "cgroup.procs").write_text(str(process.pid))
        pod = Pod(uid, process.pid)
        if own_netns:
            pod.run("ip", "link", "set", "lo", "up")
            pod.run("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
        try:
            yield pod
        finally:
            process.kill()
            process.wait()
            cgroup.rmdir()
            cgroup.parent.rmdir()
