"""Finds sandboxes by scanning /proc, once for all pods that are looked for at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from msgspec.structs import replace

from capture_agent.processes import Process
from capture_agent.sandboxes import Sandbox, find_sandboxes
from capture_api.node_captures import DispatchedPod, NetnsIdentity

SCAN_LIFETIME = 0.1
"""Seconds for which a scan answers further questions; a node has thousands of processes."""


class SandboxFinder:
    """Remembers where pods' sandboxes are, and scans when it does not know.

    `scan` lists the node's pod processes. `host` identifies the node's own network namespace.
    `scanned` is told the keys of all sandboxes that a scan has seen.
    """

    def __init__(
        self,
        scan: Callable[[], Awaitable[Iterable[Process]]],
        host: NetnsIdentity,
        monotonic: Callable[[], float],
        scanned: Callable[[frozenset[str]], None],
    ) -> None:
        self._scan = scan
        self._host = host
        self._monotonic = monotonic
        self._scanned = scanned
        self._found: dict[str, Sandbox] = {}
        self._scanned_at = float("-inf")
        self._turn = asyncio.Lock()

    async def find(self, pod: DispatchedPod) -> Sandbox | None:
        """Find a pod's sandbox; None if none of its processes is there (yet, or any more)."""
        uid = pod.static_pod_uid or pod.uid
        if uid not in self._found:
            await self._rescan()
        found = self._found.get(uid)
        return None if found is None else replace(found, pod_ips=pod.pod_ips)

    def forget(self, pod_uid: str) -> None:
        """Look for this pod again next time: its sandbox turned out to be gone or another one."""
        self._found.pop(pod_uid, None)

    async def rescan(self) -> None:
        """Scan now, whatever is known."""
        self._take(await self._scan())

    async def _rescan(self) -> None:
        async with self._turn:  # whoever waits is answered by the same scan
            if self._monotonic() - self._scanned_at >= SCAN_LIFETIME:
                await self.rescan()

    def _take(self, processes: Iterable[Process]) -> None:
        self._found = find_sandboxes(processes, self._host)
        self._scanned_at = self._monotonic()
        self._scanned(frozenset(found.key for found in self._found.values()))
