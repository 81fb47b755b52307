"""From a pod UID to the pod's network namespace.

A pod's processes can sit in more than one network namespace: any of them may `unshare -n`. The
sandbox's is the one of the process that started first, since the runtime starts the sandbox (or,
without a pause process, the first container) before anything of the pod runs.

Processes in the host's namespace don't count. The pod's cgroup has some for a moment while runc
starts a container, and for good where CRI-O keeps its conmon there (`conmon_cgroup = "pod"`); which
pods are on the host's network is known from their spec.

What is found here is a claim: the broker verifies it once more at the moment of entry, the pod's
addresses included.
"""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from capture_agent.processes import Process
from capture_api.node_captures import NetnsIdentity


class Sandbox(msgspec.Struct, frozen=True, tag=True):
    """A pod's network namespace and the process, or else the path, that leads to it.

    State of a pod is keyed by `key`: the same pod UID can get a new sandbox.

    One of the pod's addresses has to be in the namespace. `addresses_unknown` waives that for a pod
    that starts: the runtime, which waits for us, told where it is, before any container, so nothing
    of the pod can have moved or been started elsewhere; all else is checked all the same. It is for
    that moment alone, to read the addresses there.

    `path` (`/run/netns/NAME` or `/var/run/netns/NAME`) is for runtimes that keep a namespace
    without a process in it (CRI-O's `drop_infra_ctr`); `pid` and `start_time` are 0 then.
    """

    pod_uid: str
    pid: int
    start_time: int
    netns: NetnsIdentity
    pod_ips: tuple[str, ...] = ()
    addresses_unknown: bool = False
    path: str | None = None

    @property
    def key(self) -> str:
        """Name the sandbox for journals: pod UID, device and inode of the namespace."""
        return f"{self.pod_uid}/{self.netns.device}:{self.netns.inode}"


class ToldProcess(msgspec.Struct, frozen=True, tag=True):
    """A sandbox's process as the runtime tells it: the rest of a claim is still to be found."""

    pod_uid: str
    pid: int
    pod_ips: tuple[str, ...]


def sandbox_of(process: Process, pod_ips: tuple[str, ...] = ()) -> Sandbox:
    """Claim the network namespace of a process for its pod, which has these addresses."""
    return Sandbox(
        pod_uid=process.pod_uid,
        pid=process.pid,
        start_time=process.start_time,
        netns=process.netns,
        pod_ips=pod_ips,
    )


def find_sandboxes(processes: Iterable[Process], host: NetnsIdentity) -> dict[str, Sandbox]:
    """Choose each pod's sandbox among the processes of the node, by pod UID."""
    by_pod: dict[str, list[Process]] = defaultdict(list)
    for process in processes:
        if process.netns != host:
            by_pod[process.pod_uid].append(process)
    return {uid: sandbox_of(_oldest(members)) for uid, members in by_pod.items()}


def _oldest(processes: list[Process]) -> Process:
    return min(processes, key=lambda process: (process.start_time, process.pid))
