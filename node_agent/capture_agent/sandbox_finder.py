"""Finds sandboxes: where the runtime says that they are, or else by scanning /proc.

A scan answers for all pods that are looked for at the same moment.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec.structs import replace

from capture_agent.pod_addresses import usable_addresses
from capture_agent.processes import Process
from capture_agent.sandboxes import Sandbox, find_sandboxes, sandbox_of
from capture_api.node_captures import DispatchedPod, NetnsIdentity
from capture_nri.pod_sandboxes import PodSandbox

SCAN_LIFETIME = 0.1
"""Seconds for which a scan answers further questions; a node has thousands of processes."""


class Node(Protocol):
    """What can be asked of the node's processes and network namespaces."""

    async def pod_processes(self) -> tuple[Process, ...]:
        """List the live processes of all pods."""

    async def hold_told(self, told: PodSandbox) -> Sandbox | None:
        """Find and open the sandbox that a runtime tells by its process; None if it is not so."""

    async def process(self, pid: int) -> Process | None:
        """Read one process; None if it is gone or belongs to no pod."""

    async def addresses(self, sandbox: Sandbox) -> tuple[bytes, ...]:
        """List the addresses in the namespace of a sandbox whose addresses are unknown."""

    async def netns(self, path: str) -> NetnsIdentity | None:
        """Identify the network namespace that a runtime keeps under a path; None without one."""


class SandboxFinder:
    """Remembers where pods' sandboxes are, and looks when it does not know.

    `host` identifies the node's own network namespace. `scanned` is told the keys of all sandboxes
    that a scan has seen. The asynchronous methods raise what `node` raises.
    """

    def __init__(
        self,
        node: Node,
        host: NetnsIdentity,
        monotonic: Callable[[], float],
        scanned: Callable[[frozenset[str]], None],
    ) -> None:
        self._node = node
        self._host = host
        self._monotonic = monotonic
        self._scanned = scanned
        self._found: dict[str, Sandbox] = {}
        self._told: dict[str, PodSandbox] = {}
        self._scanned_at = float("-inf")
        self._turn = asyncio.Lock()

    async def find(self, pod: DispatchedPod) -> Sandbox | None:
        """Find a pod's sandbox; None if none of its processes is there (yet, or any more).

        A pod without a known address is not scanned for: nothing would tell a namespace for its.
        """
        uid = pod.static_pod_uid or pod.uid
        if uid not in self._found:
            if uid in self._told:
                await self._identify(self._told[uid])
            # What the runtime said may be outdated, if it does not talk to us any more.
            if uid not in self._found and pod.pod_ips:
                await self._rescan()
        found = self._found.get(uid)
        if found is not None and pod.static_pod_uid:
            # Anybody's pod can say that it were a mirror, of any pod. So the addresses have to be
            # those that the kubelet reported of the mirror, never the runtime's of that pod.
            return replace(found, pod_ips=pod.pod_ips, addresses_unknown=False)
        if found is None or not pod.pod_ips:
            return found
        # A new sandbox has new addresses, which the runtime knows before the API server does.
        known = tuple(dict.fromkeys((*found.pod_ips, *pod.pod_ips)))
        if known == found.pod_ips and not found.addresses_unknown:
            return found
        return replace(found, pod_ips=known, addresses_unknown=False)

    async def find_starting(self, pod: DispatchedPod) -> Sandbox | None:
        """Find the sandbox of a pod that starts, with what is there if the runtime told no address.

        Those that the API server knows may be of the sandbox before. Without an address there, and
        none that is known, it has none still, and waits for one.
        """
        sandbox = await self.find(pod)
        told = None if pod.static_pod_uid else self._found.get(pod.uid)
        if told is None or not told.addresses_unknown:
            return sandbox
        there = usable_addresses(await self._node.addresses(told))
        known = replace(told, pod_ips=there or pod.pod_ips, addresses_unknown=False)
        if there and self._found.get(pod.uid) == told:
            self._found[pod.uid] = known
        return known

    def tell(self, described: PodSandbox) -> None:
        """Take note of a sandbox that the runtime describes: it is that of its pod from now on."""
        self._found.pop(described.uid, None)
        self._told[described.uid] = described
        # Should it lead nowhere: what an earlier scan found of this pod has just been dropped.
        self._scanned_at = float("-inf")

    def forget(self, pod_uid: str) -> None:
        """Look for this pod again next time: its sandbox turned out to be gone or another one."""
        self._found.pop(pod_uid, None)

    def ended(self, pod_uid: str) -> None:
        """Forget what the runtime said of a pod: its sandbox is gone."""
        self._found.pop(pod_uid, None)
        self._told.pop(pod_uid, None)

    async def rescan(self) -> None:
        """Scan now, whatever is known."""
        self._take(await self._node.pod_processes())

    async def _identify(self, described: PodSandbox) -> None:
        if described.pid:
            found = await self._with_process(described)
        else:
            found = await self._with_path(described)
        if found is not None and found.netns != self._host:
            self._found[described.uid] = found

    async def _with_process(self, described: PodSandbox) -> Sandbox | None:
        if described.ips and (held := await self._node.hold_told(described)):
            return held
        process = await self._node.process(described.pid)
        if process is None or process.pod_uid != described.uid:
            return None
        sandbox = sandbox_of(process, described.ips)
        return sandbox if described.ips else replace(sandbox, addresses_unknown=True)

    async def _with_path(self, described: PodSandbox) -> Sandbox | None:
        path = described.netns_path
        netns = await self._node.netns(path) if path else None
        if netns is None:
            return None
        return Sandbox(
            pod_uid=described.uid,
            pid=0,
            start_time=0,
            netns=netns,
            pod_ips=described.ips,
            addresses_unknown=not described.ips,
            path=path,
        )

    async def _rescan(self) -> None:
        async with self._turn:  # whoever waits is answered by the same scan
            if self._monotonic() - self._scanned_at >= SCAN_LIFETIME:
                await self.rescan()

    def _take(self, processes: Iterable[Process]) -> None:
        told = {uid: found for uid, found in self._found.items() if uid in self._told}
        self._found = find_sandboxes(processes, self._host) | told
        self._scanned_at = self._monotonic()
        self._scanned(frozenset(found.key for found in self._found.values()))
