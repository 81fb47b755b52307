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
ADDRESS6 = "fd00:9::7"
_ADDRESSED = f"""\
link set lo up
address add {ADDRESS}/32 dev lo
address add {ADDRESS6}/128 dev lo
"""

QUIET = "exec cat"
"""A pod's process that does nothing but echo."""
MOVING = "read line; echo $line; read line; exec unshare --net cat"
"""One that moves itself to a network namespace of its own after it was told something once."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A process that looks like the sandbox of a pod."""

    uid: str
    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        """PID of the pod's process."""
        return self.process.pid

    def tell(self, line: str) -> None:
        """Send a line to the pod's process and wait until it is echoed."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == f"{line}\n"

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
            errors="backslashreplace",
            check=False,
        )
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    def kill(self) -> None:
        """End the pod."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def started_pod(
    script: str = QUIET,
    *,
    own_netns: bool = True,
    own_users: bool = False,
    inside: Pod | None = None,
) -> Iterator[Pod]:
    """Start a pod for the block: in a network namespace of its own, or in the host's.

    With `own_users` that is owned by a user namespace of its own, as with `hostUsers: false`.
    With `inside` the pod is in the network namespace of another one instead.
    """
    uid = str(uuid.uuid4())
    cgroup = CGROUPS / "kubepods" / f"pod{uid}" / "c1"
    cgroup.mkdir(parents=True)
    own_netns = own_netns and inside is None
    argv = [*_way_in(inside), *(["unshare", "--net"] if own_netns else []), "sh", "-c", script]
    users: contextlib.AbstractContextManager[tuple[str, ...]]
    users = _user_namespace() if own_users else contextlib.nullcontext(())
    with (
        users as as_root_there,
        subprocess.Popen(
            [*as_root_there, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        pod = Pod(uid, process)
        try:
            pod.tell("up")
            (cgroup / "cgroup.procs").write_text(str(process.pid))
            if own_netns:
                pod.run("ip", "-batch", "-", stdin=_ADDRESSED)
            yield pod
        finally:
            pod.kill()
            cgroup.rmdir()
            cgroup.parent.rmdir()


def _way_in(pod: Pod | None) -> tuple[str, ...]:
    return () if pod is None else ("nsenter", f"--net=/proc/{pod.pid}/ns/net")


@contextlib.contextmanager
def _user_namespace() -> Iterator[tuple[str, ...]]:
    """Make a user namespace for the block, and give the command that runs others as its root.

    Its users are mapped before a network namespace is made in it, as runtimes do: the kernel gives
    the files of a network namespace to whoever is root of its owner at that moment.
    """
    with subprocess.Popen(
        ["unshare", "--user", "sh", "-c", "echo up; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "up\n"
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{holder.pid}/{kind}").write_text("0 100000 65536\n")
        yield "nsenter", f"--user=/proc/{holder.pid}/ns/user", "--setuid=0", "--setgid=0"
