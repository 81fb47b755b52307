"""A pod with rules of its own, by each backend, whose rules others change with iptables."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from capture_agent.broker_client import Broker
from capture_agent.fake_backend import FAKE, FakeBackend
from capture_agent.held_sandboxes import HeldSandboxes
from capture_agent.iptables_backend import NFT, IptablesBackend
from capture_agent.nat_backends import NatBackend
from capture_agent.netlink_backend import NetlinkBackend
from capture_agent.netlink_views import NETLINK
from capture_agent.python_iptables_backend import LEGACY, PYTHON_IPTABLES, LegacyTools
from capture_agent.sandboxes import Sandbox
from capture_agent.zygote_client import started_zygote
from capture_api.node_captures import NetnsIdentity
from capture_nat.families import Family
from capture_nat.tables import NatTable, parse_table
from kernel.capture_agent.tamperings import FOREIGN, theirs_in, translated
from kernel.capture_agent.told_tables import told
from kernel.pods import ADDRESS, ADDRESS6, Pod, started_pod
from unit.capture_agent.captures import SANDBOX

BACKENDS = (FAKE, NFT, NETLINK, LEGACY, PYTHON_IPTABLES)
LEGACY_TABLES = frozenset({LEGACY, PYTHON_IPTABLES})
"""Those that serve a pod in its legacy table."""

_ADDRESSES = {Family.IPV4: ADDRESS, Family.IPV6: ADDRESS6}


class Tampered(Protocol):
    """What a test of tampering needs."""

    @property
    def served_by(self) -> str:
        """Who is to serve the pod, as its status names it."""

    @property
    def backend(self) -> NatBackend:
        """The backend under test."""

    @property
    def sandbox(self) -> Sandbox:
        """The pod's, with an address of one family alone."""

    def do(self, *commands: str) -> None:
        """Run commands of iptables, as somebody in the pod would."""

    def rules(self) -> list[str]:
        """List chains and rules."""

    def foreign(self) -> list[str]:
        """List what is not ours, with what tells that a rule was rewritten where there is any."""


@dataclass(frozen=True)
class TamperedFake:
    """A table in memory."""

    backend: FakeBackend
    family: Family
    sandbox: Sandbox
    served_by: str = FAKE

    @property
    def _table(self) -> NatTable:
        return self.backend.tables[self.sandbox.key, self.family]

    def do(self, *commands: str) -> None:
        """See `Tampered`."""
        for command in commands:
            after = told(self._table, translated(command, self.family))
            self.backend.tables[self.sandbox.key, self.family] = after

    def rules(self) -> list[str]:
        """See `Tampered`."""
        chains = sorted(self._table.chains.items())
        names = [f"-N {name}" for name, chain in chains if chain.policy is None]
        return names + [rule for _, chain in chains for rule in chain.rules]

    def foreign(self) -> list[str]:
        """See `Tampered`."""
        return theirs_in(self.rules())


@dataclass(frozen=True)
class TamperedPod:
    """A network namespace, where others use the tools of the table that is served."""

    served_by: str
    backend: NatBackend
    family: Family
    pod: Pod

    @property
    def sandbox(self) -> Sandbox:
        """See `Tampered`."""
        return self.pod.sandbox(_ADDRESSES[self.family])

    @property
    def tool(self) -> str:
        """The command that lists and changes the table."""
        tool = LEGACY if self.served_by in LEGACY_TABLES else NFT
        return tool if self.family is Family.IPV4 else tool.replace("ip", "ip6", 1)

    def do(self, *commands: str) -> None:
        """See `Tampered`."""
        for command in commands:
            self.pod.run(self.tool, "-t", "nat", *translated(command, self.family).split())

    def rules(self) -> list[str]:
        """See `Tampered`."""
        return self.pod.run(self.tool, "-t", "nat", "-S").splitlines()

    def foreign(self) -> list[str]:
        """See `Tampered`; counters and handles tell."""
        listed = self.pod.run(f"{self.tool}-save", "-c", "-t", "nat")
        if self.served_by not in LEGACY_TABLES:
            table = "ip" if self.family is Family.IPV4 else "ip6"
            listed += self.pod.run("nft", "-a", "list", "table", table, "nat")
        return theirs_in(line.strip() for line in listed.splitlines())


@asynccontextmanager
async def tampered_table(
    served_by: str, family: Family, host: NetnsIdentity
) -> AsyncIterator[Tampered]:
    """Have a backend serve a pod, for the block, in which somebody else has rules already."""
    foreign = translated(FOREIGN, family)
    if served_by == FAKE:
        sandbox = replace(SANDBOX, pod_ips=(_ADDRESSES[family],))
        fake = FakeBackend()
        fake.tables[sandbox.key, family] = parse_table(foreign)
        yield TamperedFake(fake, family, sandbox)
        return
    with started_pod() as pod, started_zygote(host) as zygote:
        async with Broker(zygote) as runner, Broker(zygote) as opener:
            legacy = LegacyTools(served_by if served_by in LEGACY_TABLES else LEGACY)
            tools = IptablesBackend(runner, legacy)
            held = HeldSandboxes(opener, lambda _: None, lambda _: None)
            backend = tools if served_by == NFT else NetlinkBackend(held, tools)
            tampered = TamperedPod(served_by, backend, family, pod)
            pod.run(f"{tampered.tool}-restore", stdin=foreign)
            yield tampered
            held.close_all()
