"""A pod of two families is written in one transaction, and one family's trouble is its own."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from capture_agent.broker_client import Broker
from capture_agent.broker_protocol import SocketKind
from capture_agent.held_sandboxes import HeldSandboxes
from capture_agent.iptables_backend import NFT, IptablesBackend
from capture_agent.journal import Journal
from capture_agent.nat_backends import NatBackend, NatChange, NatView, TableFailure
from capture_agent.netlink_backend import NetlinkBackend
from capture_agent.netlink_views import NETLINK
from capture_agent.nft_channel import NftChannel, TransactionRefusedError
from capture_agent.nft_watch import NftWatch, Overflow
from capture_agent.python_iptables_backend import LEGACY
from capture_agent.reconciling import Reconciler
from capture_agent.sandboxes import Sandbox
from capture_agent.zygote_client import Zygote
from capture_api.node_captures import PodState
from capture_api.programs import IpFamily
from capture_nat.families import Family
from capture_nft.transactions import Blob
from capture_nft.uapi import NfFamily
from kernel.pods import ADDRESS, ADDRESS6, Pod
from unit.capture_agent.captures import capture, program, record

BOTH = (IpFamily.IPV4, IpFamily.IPV6)
JUMP = ("-D", "OUTPUT", "-p", "tcp", "-j", "ISTIO_OUTPUT")
FOR_THE_TOOLS = ("-A", "POSTROUTING", "-m", "length", "--length", "64", "-j", "RETURN")
"""A rule that only they can read."""


@pytest.fixture
def served_by() -> str:
    """Only here does one transaction serve two families."""
    return NETLINK


@pytest.fixture
def sandbox(pod: Pod) -> Sandbox:
    """A pod with an address of each family."""
    return pod.sandbox(ADDRESS, ADDRESS6)


@pytest.fixture
async def watch(broker: Broker, sandbox: Sandbox) -> AsyncIterator[NftWatch]:
    """Somebody who is told of every change in the pod."""
    opened = await broker.open(sandbox, SocketKind.NETFILTER)
    watch = NftWatch(opened.sockets[0])
    yield watch
    watch.close()


def changes(watch: NftWatch) -> int:
    """Count the transactions since the last time."""
    heard = watch.read()
    assert not any(isinstance(each, Overflow) for each in heard)
    return len(heard)


def ours(pod: Pod, tool: str) -> list[str]:
    """List our chains and rules in a table."""
    listed = pod.run(tool, "-t", "nat", "-S").splitlines()
    return [line for line in listed if "ISTIO" in line]


async def test_both_families_come_change_are_repaired_and_go_in_one_transaction_each(
    pod: Pod, sandbox: Sandbox, reconciler: Reconciler, watch: NftWatch
) -> None:
    """So there is no instant with one family only."""
    after = await reconciler.capture(record(), capture(), sandbox)
    assert (after.finding.state, after.held_families) == (PodState.PROGRAMMED, BOTH)
    assert changes(watch) == 1
    after = await reconciler.capture(after, capture(), sandbox)
    assert changes(watch) == 0
    after = await reconciler.capture(after, capture(program(port="81")), sandbox)
    assert changes(watch) == 1
    pod.run("iptables-nft", "-t", "nat", *JUMP)
    pod.run("ip6tables-nft", "-t", "nat", *JUMP)
    assert changes(watch) == 2
    after = await reconciler.capture(after, capture(program(port="81")), sandbox)
    assert (after.finding.state, after.repaired) == (PodState.PROGRAMMED, 1)
    assert changes(watch) == 1
    after = await reconciler.release(after, sandbox)
    assert after.held_by == ""
    assert changes(watch) == 1
    assert ours(pod, "iptables-nft") == ours(pod, "ip6tables-nft") == []


async def test_a_jump_that_is_there_twice_is_put_right_in_both_families_at_once(
    pod: Pod, sandbox: Sandbox, reconciler: Reconciler, watch: NftWatch
) -> None:
    """Each deleted by the handle that it has in its own table."""
    after = await reconciler.capture(record(), capture(), sandbox)
    before = [ours(pod, tool) for tool in ("iptables-nft", "ip6tables-nft")]
    pod.run("ip6tables-nft", "-t", "nat", "-A", *JUMP[1:])
    pod.run("iptables-nft", "-t", "nat", "-A", *JUMP[1:])
    watch.read()
    after = await reconciler.capture(after, capture(), sandbox)
    assert (after.finding.state, after.repaired) == (PodState.PROGRAMMED, 1)
    assert changes(watch) == 1
    assert [ours(pod, tool) for tool in ("iptables-nft", "ip6tables-nft")] == before


@dataclass
class Asked:
    """What the kernel was asked."""

    generations: int = 0
    dumps: int = 0


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Count what is asked over held sockets."""
    asked = Asked()
    generation, dump = NftChannel.generation, NftChannel.dump

    def counted_generation(self: NftChannel) -> int:
        asked.generations += 1
        return generation(self)

    def counted_dump(self: NftChannel, of: int) -> bytes | None:
        asked.dumps += 1
        return dump(self, of)

    monkeypatch.setattr(NftChannel, "generation", counted_generation)
    monkeypatch.setattr(NftChannel, "dump", counted_dump)
    return asked


async def test_a_pass_reads_the_rules_of_both_families_once_before_and_once_after_it_writes(
    sandbox: Sandbox, reconciler: Reconciler, asked: Asked
) -> None:
    """And where nothing was written since, it asks for the generation and nothing else."""
    after = await reconciler.capture(record(), capture(), sandbox)
    assert asked.dumps == 2
    asked.generations = asked.dumps = 0
    after = await reconciler.capture(after, capture(), sandbox)
    assert after.finding.state is PodState.PROGRAMMED
    assert asked == Asked(generations=1, dumps=0)


@dataclass
class Between:
    """A backend where somebody writes to the IPv6 table, once, between our look and our write."""

    pod: Pod
    backend: NatBackend
    is_done: bool = False

    async def observe(
        self, sandbox: Sandbox, families: Iterable[Family]
    ) -> Mapping[Family, NatView | TableFailure]:
        """See `NatBackend`."""
        return await self.backend.observe(sandbox, families)

    async def apply(
        self, sandbox: Sandbox, changes: Mapping[Family, NatChange]
    ) -> Mapping[Family, TableFailure]:
        """See `NatBackend`."""
        if not self.is_done:
            self.pod.run("ip6tables-nft", "-t", "nat", "-A", "OUTPUT", "-p", "udp", "-j", "ACCEPT")
        self.is_done = True
        return await self.backend.apply(sandbox, changes)

    def is_unchanged(self, sandbox: Sandbox) -> bool:
        """See `NatBackend`."""
        return self.backend.is_unchanged(sandbox)


async def test_a_writer_that_gets_in_between_has_both_families_looked_at_again(
    pod: Pod, sandbox: Sandbox, backend: NatBackend, watch: NftWatch, tmp_path: Path
) -> None:
    """Whichever family it wrote to: nothing was done, and then all is done at once."""
    interfered = Between(pod, backend)
    reconciler = Reconciler(interfered, Journal(tmp_path / "j", "b"), lambda: 0.0, lambda: 0.0)
    after = await reconciler.capture(record(), capture(), sandbox)
    assert (after.finding.state, after.held_families) == (PodState.PROGRAMMED, BOTH)
    theirs, together = watch.read()
    assert not isinstance(theirs, Overflow)
    assert theirs.comm.startswith("ip")
    assert not isinstance(together, Overflow)
    assert "-A OUTPUT -p udp -j ACCEPT" in pod.run("ip6tables-nft", "-t", "nat", "-S")


@pytest.fixture(params=[NfFamily.IPV4, NfFamily.IPV6])
def refused(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> NfFamily:
    """Play a kernel that takes nothing of ours for one family: it has no such match."""
    family = NfFamily(request.param)
    commit = NftChannel.commit

    def without_match(self: NftChannel, blob: Blob, generation: int) -> int:
        if family in families_in(blob):
            raise TransactionRefusedError(2, "-m owner")
        return commit(self, blob, generation)

    monkeypatch.setattr(NftChannel, "commit", without_match)
    return family


def families_in(blob: Blob) -> set[int]:
    """Name the families that the messages of a batch are about."""
    found, start = set(), 0
    while start < len(blob.data):
        found.add(blob.data[start + 16])
        start += int.from_bytes(blob.data[start : start + 4], "little")
    return found


async def test_a_family_that_the_kernel_refuses_is_left_to_the_tools_and_it_alone(
    pod: Pod, sandbox: Sandbox, reconciler: Reconciler, refused: NfFamily
) -> None:
    """The status says who serves which, and why."""
    after = await reconciler.capture(record(), capture(), sandbox)
    assert (after.finding.state, after.held_families) == (PodState.PROGRAMMED, BOTH)
    ipv4, ipv6 = (NFT, NETLINK) if refused is NfFamily.IPV4 else (NETLINK, NFT)
    assert after.backend == f"{ipv4} (IPv4), {ipv6} (IPv6)"
    assert "-m owner" in after.evidence().backend_reason
    after = await reconciler.release(after, sandbox)
    assert after.held_by == ""
    assert ours(pod, "iptables-nft") == ours(pod, "ip6tables-nft") == []


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ("iptables-legacy", f"{LEGACY} (IPv4), {NETLINK} (IPv6)"),
        ("ip6tables-legacy", f"{NETLINK} (IPv4), {LEGACY} (IPv6)"),
    ],
)
async def test_a_family_with_a_legacy_table_is_served_there_and_the_other_by_netlink(
    pod: Pod, sandbox: Sandbox, reconciler: Reconciler, tool: str, expected: str
) -> None:
    """Written, repaired and released in one pass each."""
    pod.run(tool, "-t", "nat", "-A", "OUTPUT", "-p", "udp", "-j", "ACCEPT")
    after = await reconciler.capture(record(), capture(), sandbox)
    assert (after.finding.state, after.held_families) == (PodState.PROGRAMMED, BOTH)
    assert after.backend == expected
    nft = "iptables-nft" if tool == "ip6tables-legacy" else "ip6tables-nft"
    for each in (tool, nft):
        pod.run(each, "-t", "nat", *JUMP)
    after = await reconciler.capture(after, capture(), sandbox)
    assert (after.finding.state, after.repaired) == (PodState.PROGRAMMED, 1)
    assert (await reconciler.release(after, sandbox)).held_by == ""
    assert ours(pod, tool) == ours(pod, nft) == []


@dataclass(frozen=True)
class RestlessTools:
    """Tools in a pod where somebody writes whenever they look."""

    pod: Pod
    tools: IptablesBackend

    async def observe(
        self, sandbox: Sandbox, families: Iterable[Family]
    ) -> Mapping[Family, NatView | TableFailure]:
        """See `NatBackend`."""
        self.pod.run("nft", "add table inet theirs; delete table inet theirs")
        return await self.tools.observe(sandbox, families)

    async def apply(
        self, sandbox: Sandbox, changes: Mapping[Family, NatChange]
    ) -> Mapping[Family, TableFailure]:
        """See `NatBackend`."""
        return await self.tools.apply(sandbox, changes)

    def is_unchanged(self, sandbox: Sandbox) -> bool:
        """See `NatBackend`."""
        return self.tools.is_unchanged(sandbox)


async def test_a_family_that_the_tools_never_get_to_read_does_not_delay_the_other(
    pod: Pod, sandbox: Sandbox, tools: IptablesBackend, zygote: Zygote, tmp_path: Path
) -> None:
    """What is read here in microseconds needs no pause of whoever writes all the time."""
    pod.run("ip6tables-nft", "-t", "nat", *FOR_THE_TOOLS)
    async with Broker(zygote) as opener:
        held = HeldSandboxes(opener, lambda _: None, lambda _: None)
        backend = NetlinkBackend(held, RestlessTools(pod, tools))
        reconciler = Reconciler(backend, Journal(tmp_path / "j", "b"), lambda: 0.0, lambda: 0.0)
        after = await reconciler.capture(record(), capture(), sandbox)
        held.close_all()
    assert after.finding.message.startswith("IPv6: the rules keep changing")
    assert after.held_families == (IpFamily.IPV4,)
    assert len(ours(pod, "iptables-nft")) == 14
