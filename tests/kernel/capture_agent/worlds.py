"""A pod with one backend, as a conformance test sees it: changed by others, listed, looked at."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from capture_agent.fake_backend import FAKE, FakeBackend
from capture_agent.iptables_backend import NFT
from capture_agent.nat_backends import NatBackend, NatChange, NatView, TableFailure
from capture_agent.netlink_views import NETLINK
from capture_agent.sandboxes import Sandbox
from capture_nat.commands import Command, restore_input
from capture_nat.families import Family
from capture_nat.planning import Plan
from capture_nat.simulation import apply_plan
from capture_nat.tables import NatTable
from kernel.pods import Pod
from unit.capture_agent.captures import SANDBOX

V4 = Family.IPV4


class World(Protocol):
    """What every conformance test needs."""

    @property
    def variant(self) -> str:
        """Who is to serve the pod."""

    @property
    def backend(self) -> NatBackend:
        """The backend under test."""

    @property
    def sandbox(self) -> Sandbox:
        """The pod's."""

    def change(self, *commands: Command) -> None:
        """Change the nat table, as somebody else."""

    def rules(self) -> list[str]:
        """List chains and rules, as `iptables -S` does."""

    def records(self) -> list[str]:
        """List them with all that tells whether one was rewritten: counters, handles."""

    def send_packet(self) -> None:
        """Open a connection inside, so that rules count."""


@dataclass(frozen=True)
class FakeWorld:
    """A table in memory."""

    backend: FakeBackend
    sandbox: Sandbox = SANDBOX
    variant: str = FAKE

    def change(self, *commands: Command) -> None:
        """See `World`."""
        key = (self.sandbox.key, V4)
        table = self.backend.tables.get(key, NatTable())
        self.backend.tables[key] = apply_plan(table, Plan(commands=commands))

    def rules(self) -> list[str]:
        """See `World`."""
        table = self.backend.tables.get((self.sandbox.key, V4), NatTable())
        chains = sorted(name for name, chain in table.chains.items() if chain.policy is None)
        rules = [rule for chain in table.chains.values() for rule in chain.rules]
        return [f"-N {name}" for name in chains] + rules

    def records(self) -> list[str]:
        """See `World`."""
        return [*self.rules(), f"{self.backend.writes} writes"]

    def send_packet(self) -> None:
        """See `World`."""


@dataclass(frozen=True)
class PodWorld:
    """A network namespace; others use the command-line tools in it."""

    variant: str
    backend: NatBackend
    pod: Pod
    sandbox: Sandbox

    @property
    def tool(self) -> str:
        """What others use."""
        return "iptables-nft" if self.variant in {NFT, NETLINK} else "iptables-legacy"

    def change(self, *commands: Command) -> None:
        """See `World`."""
        self.pod.run(f"{self.tool}-restore", "--noflush", stdin=restore_input(commands))

    def rules(self) -> list[str]:
        """See `World`."""
        listed = self.pod.run(self.tool, "-t", "nat", "-S").splitlines()
        return [line for line in listed if not line.startswith("-P")]

    def records(self) -> list[str]:
        """See `World`."""
        saved = self.pod.run(f"{self.tool}-save", "-c", "-t", "nat")
        listed = [line for line in saved.splitlines() if not line.startswith("#")]
        if self.tool == "iptables-nft":
            listed += self.pod.run("nft", "-a", "list", "ruleset").splitlines()
        return [line.strip() for line in listed]

    def send_packet(self) -> None:
        """See `World`."""
        self.pod.run("bash", "-c", "exec 3<>/dev/tcp/192.0.2.1/80 || true")


@dataclass
class Interfering:
    """A backend where somebody gets in between, once, after a look and before a write."""

    world: World
    commands: tuple[Command, ...]

    async def observe(
        self, sandbox: Sandbox, families: Iterable[Family]
    ) -> Mapping[Family, NatView | TableFailure]:
        """See `NatBackend`."""
        return await self.world.backend.observe(sandbox, families)

    async def apply(
        self, sandbox: Sandbox, changes: Mapping[Family, NatChange]
    ) -> Mapping[Family, TableFailure]:
        """See `NatBackend`."""
        commands, self.commands = self.commands, ()
        if commands:
            self.world.change(*commands)
        return await self.world.backend.apply(sandbox, changes)

    def is_unchanged(self, sandbox: Sandbox) -> bool:
        """See `NatBackend`."""
        return self.world.backend.is_unchanged(sandbox)
