"""What the broker sees of the node, without anybody who is in a hurry waiting for a scan of it."""

from dataclasses import dataclass

from capture_agent.broker_client import Broker
from capture_agent.held_sandboxes import HeldSandboxes
from capture_agent.processes import Process
from capture_agent.sandboxes import Sandbox
from capture_api.node_captures import NetnsIdentity
from capture_nri.pod_sandboxes import PodSandbox


@dataclass(frozen=True, slots=True)
class NodeView:
    """Asks `quick` for one thing, and `patient` for all processes; what is told is `held`.

    To read all of them takes 40 us each: a tenth of a second on a node that has some thousand, in
    which `quick` opens what a starting pod needs. The methods raise what `Broker`'s do.
    """

    quick: Broker
    patient: Broker
    held: HeldSandboxes

    async def pod_processes(self) -> tuple[Process, ...]:
        """List the live processes of all pods of the node."""
        return await self.patient.pod_processes()

    async def hold_told(self, told: PodSandbox) -> Sandbox | None:
        """Find and open the sandbox that a runtime tells by its process; None if it is not so."""
        return await self.held.hold_told(told)

    async def process(self, pid: int) -> Process | None:
        """Read one process; None if it is gone or belongs to no pod."""
        return await self.quick.process(pid)

    async def addresses(self, sandbox: Sandbox) -> tuple[bytes, ...]:
        """List the addresses in a sandbox's network namespace, if the sandbox's are unknown."""
        return await self.quick.addresses(sandbox)

    async def netns(self, path: str) -> NetnsIdentity | None:
        """Identify the network namespace that a runtime keeps under a path; None without one."""
        return await self.quick.netns(path)
