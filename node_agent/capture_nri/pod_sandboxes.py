"""A pod's sandbox as the runtime describes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from capture_nri import nri_pb2


@dataclass(frozen=True, slots=True)
class PodSandbox:
    """What a runtime says of a sandbox; an older one leaves out what it doesn't know.

    `id` is the sandbox's own: a pod that gets a new sandbox keeps its `uid`. That of a static pod
    is the hash of its manifest, not the UID of its mirror pod. `netns_path` is where the network
    namespace can be opened, as the runtime's mount namespace has it; None for a pod on the host's
    network, and where more than one is named. `pid` is that of the sandbox's own process, 0 if
    there is none (CRI-O without infra containers). `ips` is empty from containerd before 2.1.
    """

    id: str
    uid: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    runtime_handler: str
    netns_path: str | None
    pid: int
    ips: tuple[str, ...]


def pod_sandbox(described: nri_pb2.PodSandbox) -> PodSandbox:
    """Read a sandbox from its message."""
    return PodSandbox(
        id=described.id,
        uid=described.uid,
        namespace=described.namespace,
        name=described.name,
        labels=MappingProxyType(dict(described.labels)),
        annotations=MappingProxyType(dict(described.annotations)),
        runtime_handler=described.runtime_handler,
        netns_path=_netns_path(described.linux),
        pid=described.pid,
        ips=tuple(described.ips),
    )


def _netns_path(linux: nri_pb2.LinuxPodSandbox) -> str | None:
    paths = {found.path for found in linux.namespaces if found.type == "network"}
    return (paths.pop() or None) if len(paths) == 1 else None
