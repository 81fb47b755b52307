"""What is held of a sandbox is let go with it, and what happens there is heard at once."""

import asyncio
import contextlib
import ctypes
import dataclasses
import os
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from capture_agent.broker_client import Broker, OpenedSockets, SandboxRefusedError
from capture_agent.broker_protocol import SOCKETS, Refusal, SocketKind
from capture_agent.broker_sockets import opened_socket
from capture_agent.held_sandboxes import HeldSandboxes
from capture_agent.iptables_backend import IptablesBackend
from capture_agent.journal import Journal
from capture_agent.legacy_tables import opened_list
from capture_agent.netlink_backend import NetlinkBackend
from capture_agent.netlink_views import NETLINK
from capture_agent.processes import netns_identity
from capture_agent.reconciling import Reconciler
from capture_agent.sandboxes import Sandbox
from capture_agent.zygote_client import Zygote
from capture_api.node_captures import PodState
from capture_nat.compiling import compile_program
from capture_nat.families import Family
from capture_nat.planning import plan_changes
from capture_nft import messages
from capture_nft.transactions import Blob
from capture_nri.pod_sandboxes import PodSandbox
from kernel.capture_agent.cables import cable_to_be_gone
from kernel.capture_agent.single_tables import viewed, write
from kernel.pods import ADDRESS, Pod, started_pod
from unit.capture_agent.captures import capture, program, record

V4 = Family.IPV4
PODS = 1000
CYCLES = 10_000
_CLONE_NEWNET = 0x40000000
_SMALL = 4608
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Holder:
    """What holds sockets, and what it told."""

    broker: Broker
    changed: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    held: HeldSandboxes = field(init=False)

    def __post_init__(self) -> None:
        """Listen."""
        self.held = HeldSandboxes(
            self.broker, self.changed.append, self.ended.append, self._note_count
        )

    def _note_count(self) -> None:
        self.counts.append(len(self.held))


@pytest.fixture
async def holder(zygote: Zygote) -> AsyncIterator[Holder]:
    """A holder of sockets that a broker of its own opens."""
    async with Broker(zygote) as opener:
        holder = Holder(opener)
        yield holder
        holder.held.close_all()


def told_of(sandbox: Sandbox) -> PodSandbox:
    """Describe a sandbox as the runtime does."""
    return PodSandbox(
        id="s", uid=sandbox.pod_uid, namespace="demo", name="web", labels={}, annotations={},
        runtime_handler="", netns_path=sandbox.path or "/run/netns/cni", pid=sandbox.pid,
        ips=sandbox.pod_ips,
    )  # fmt: skip


async def one_loop_turn() -> None:
    """Let the event loop ask once what there is, and do it."""
    for _ in range(2):
        await asyncio.sleep(0)


def descriptors() -> int:
    """Count this process's open descriptors."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no file system


async def test_a_sandbox_whose_process_ends_is_let_go(holder: Holder, other_pod: Pod) -> None:
    """Everything is closed, and its network namespace freed: its end of a cable goes."""
    await holder.broker.process(1)
    with started_pod() as pod:
        before = descriptors()
        there = ["type", "veth", "peer", "cable", "netns", str(other_pod.pid)]
        pod.run("ip", "link", "add", "cable", *there)
        await holder.held.hold(pod.sandbox())
        assert descriptors() > before
        with cable_to_be_gone(other_pod):
            open_with_cable = descriptors()
            pod.kill()
            await one_loop_turn()
            assert holder.ended == [pod.uid]
            assert holder.counts == [1, 0]
    assert descriptors() < open_with_cable


async def test_what_the_runtime_tells_is_found_and_held_at_once(
    holder: Holder, other_pod: Pod
) -> None:
    """As what it is found to be, until its process ends."""
    with started_pod() as pod:
        sandbox = pod.sandbox()
        assert await holder.held.hold_told(told_of(sandbox)) == sandbox
        held = holder.held.get(sandbox)
        assert held is not None
        assert await holder.held.hold(sandbox) is held
        other_pod.run("iptables-nft", "-t", "nat", "-N", "ELSEWHERE")
        pod.run("iptables-nft", "-t", "nat", "-N", "HERE")
        await one_loop_turn()
        assert holder.changed == [pod.uid]
        pod.kill()
        await one_loop_turn()
        assert holder.ended == [pod.uid]


FALSE_WORDS: dict[str, Callable[[PodSandbox, Sandbox], PodSandbox]] = {
    "another pod's process": lambda told, other: dataclasses.replace(told, pid=other.pid),
    "another pod's UID": lambda told, other: dataclasses.replace(told, uid=other.pod_uid),
    "an address that is not there": lambda told, _: dataclasses.replace(told, ips=("10.0.0.1",)),
    "no address": lambda told, _: dataclasses.replace(told, ips=()),
    "a process of the node": lambda told, _: dataclasses.replace(told, pid=os.getpid()),
    "a process that never was": lambda told, _: dataclasses.replace(told, pid=2**22 + 1),
}


@pytest.mark.parametrize("words", FALSE_WORDS)
async def test_nothing_is_held_by_false_words_of_a_runtime(
    holder: Holder, pod: Pod, other_pod: Pod, words: str
) -> None:
    """And no descriptor is left of it."""
    await holder.broker.process(1)
    before = descriptors()
    false = FALSE_WORDS[words](told_of(pod.sandbox()), other_pod.sandbox())
    assert await holder.held.hold_told(false) is None
    assert (len(holder.held), descriptors()) == (0, before)


async def test_the_nodes_own_namespace_is_not_held_when_it_is_told(holder: Holder) -> None:
    """Though every word of it is true."""
    with started_pod(own_netns=False) as pod:
        assert await holder.held.hold_told(told_of(pod.sandbox("127.0.0.1"))) is None
    assert len(holder.held) == 0


async def test_holding_and_letting_go_leaves_no_descriptor(holder: Holder, pod: Pod) -> None:
    """Whichever way it is let go."""
    await holder.held.hold(pod.sandbox())
    holder.held.close(told_of(pod.sandbox()))
    before = descriptors()
    ways: tuple[Callable[[], None], ...] = (
        partial(holder.held.close, told_of(pod.sandbox())),
        partial(holder.held.drop, pod.sandbox()),
        holder.held.close_all,
    )
    for let_go in ways:
        await holder.held.hold(pod.sandbox())
        assert descriptors() - before == len(holder.held.descriptors) > 0
        let_go()
        assert descriptors() == before
        assert holder.held.descriptors == ()
    assert holder.counts == [1, 0] * 4


async def test_what_was_closed_before_its_sandbox_is_not_counted(holder: Holder, pod: Pod) -> None:
    """A channel closes itself when a pod's tables are too large."""
    await holder.broker.process(1)
    before = descriptors()
    held = await holder.held.hold(pod.sandbox())
    assert descriptors() - before == len(holder.held.descriptors)
    held.channel.close()
    assert descriptors() - before == len(holder.held.descriptors)


async def open_in(zygote: Zygote, broker: Broker) -> list[int]:
    """Count the open descriptors of agent, broker and zygote."""
    await broker.process(1)  # the broker is done with the request before
    assert broker.pid is not None
    pids = (os.getpid(), broker.pid, zygote.process.pid)
    return [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]  # noqa: PTH208 - no file system


async def test_nothing_leaks_over_ten_thousand_cycles(
    zygote: Zygote, holder: Holder, pod: Pod, other_pod: Pod
) -> None:
    """Neither in broker nor zygote nor agent, which counts right all the while; refusals too."""
    sandboxes = (pod.sandbox(), other_pod.sandbox())
    refused = pod.sandbox("192.0.2.1")
    before = await open_in(zygote, holder.broker)
    for cycle in range(CYCLES):
        await holder.held.hold(sandboxes[cycle % 2])
        assert descriptors() - before[0] == len(holder.held.descriptors) > 0
        holder.held.drop(sandboxes[cycle % 2])
        if cycle % 100 == 0:
            with pytest.raises(SandboxRefusedError):
                await holder.held.hold(refused)
    assert (len(holder.held), holder.held.descriptors) == (0, ())
    assert await open_in(zygote, holder.broker) == before
    assert holder.broker.starts == 1


async def test_the_end_of_one_sandbox_leaves_the_other_of_its_pod(
    many: Holder, pod: Pod, holder: Holder
) -> None:
    """With a process or without; and other pods' anyway."""
    old = sandbox_number(0)
    new = replace(sandbox_number(1), pod_uid=old.pod_uid, path="/run/netns/new")
    for each in (old, new, sandbox_number(2)):
        await many.held.hold(each)
    many.held.close(told_of(old))
    assert (many.held.get(old), len(many.held)) == (None, 2)
    many.held.close_all()
    await holder.held.hold(pod.sandbox())
    holder.held.close(told_of(replace(pod.sandbox(), pid=0)))
    assert len(holder.held) == 1


async def test_a_foreign_change_is_heard_in_the_same_loop_turn(holder: Holder, pod: Pod) -> None:
    """With who made it."""
    held = await holder.held.hold(pod.sandbox())
    await one_loop_turn()
    assert holder.changed == []
    pod.run("nft", "add table ip theirs")
    await one_loop_turn()
    assert holder.changed == [pod.uid]
    assert str(held.changed_by).startswith("nft (pid ")


async def test_our_own_transaction_is_no_change(
    holder: Holder, pod: Pod, tools: IptablesBackend, tmp_path: Path
) -> None:
    """What we wrote need not be looked at again."""
    backend = NetlinkBackend(holder.held, tools)
    reconciler = Reconciler(backend, Journal(tmp_path / "j", "b"), lambda: 0.0, lambda: 0.0)
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    assert (after.finding.state, after.backend) == (PodState.PROGRAMMED, NETLINK)
    await one_loop_turn()
    assert holder.changed == []
    assert backend.is_unchanged(pod.sandbox())


async def test_the_status_names_who_changed_our_rules(
    holder: Holder, pod: Pod, tools: IptablesBackend, tmp_path: Path
) -> None:
    """As the kernel saw it."""
    backend = NetlinkBackend(holder.held, tools)
    reconciler = Reconciler(backend, Journal(tmp_path / "j", "b"), lambda: 0.0, lambda: 0.0)
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    pod.run("iptables-nft", "-t", "nat", "-F", "ISTIO_OUTPUT")
    await one_loop_turn()
    assert holder.changed == [pod.uid]
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert after.last_drift
    assert after.last_drift.actor.startswith("iptables")
    assert "(pid " in after.last_drift.actor


class Namespaces:
    """A broker that opens sockets in namespaces of its own making, which live by them alone."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[socket.socket, ...]] = {}

    async def open(self, sandbox: Sandbox, *kinds: SocketKind) -> OpenedSockets:
        """Open sockets, all in one new namespace."""
        opened = _in_new_namespace(sandbox, kinds)
        self.kept[sandbox.key] = opened.sockets
        return opened


def _in_new_namespace(sandbox: Sandbox, kinds: tuple[SocketKind, ...]) -> OpenedSockets:
    def enter_and_open() -> OpenedSockets:
        assert _libc.unshare(_CLONE_NEWNET) == 0, ctypes.get_errno()
        sockets = tuple(opened_socket(kind) for kind in kinds if kind in SOCKETS)
        lists = {family: opened_list(family) for family in Family}
        there = {family: each for family, each in lists.items() if each is not None}
        return OpenedSockets(sandbox, sockets, there, own_user_namespace=False)

    with ThreadPoolExecutor(1) as thread:  # it ends, and is in no namespace any more
        return thread.submit(enter_and_open).result()


def sandbox_number(number: int) -> Sandbox:
    """Name a sandbox."""
    netns = netns_identity(os.stat_result((0, number + 1, 4, *[0] * 7)))
    return Sandbox(str(uuid.UUID(int=number)), 0, 0, netns, (ADDRESS,), path="/run/netns/x")


@pytest.fixture
def namespaces() -> Namespaces:
    """Make namespaces without processes."""
    return Namespaces()


@pytest.fixture
def many(namespaces: Namespaces) -> Iterator[Holder]:
    """A holder of sockets in them."""
    yield (holder := Holder(cast("Broker", namespaces)))
    with contextlib.suppress(RuntimeError):  # the test closed them, in its loop
        holder.held.close_all()


async def test_a_thousand_pods_of_one_name_are_a_thousand_pods(
    many: Holder, tools: IptablesBackend
) -> None:
    """Each holds its own program, and no other's, by as many descriptors as any other."""
    before = descriptors()
    backend = NetlinkBackend(many.held, tools)
    sandboxes = [sandbox_number(number) for number in range(PODS)]
    for number, sandbox in enumerate(sandboxes):
        ruleset = compile_program(program(port=str(10000 + number)), V4)
        view = await viewed(backend, sandbox)
        assert view.table.chains == {}
        await write(backend, sandbox, view, plan_changes(ruleset, view.table, frozenset()))
    of_each = {len(held.descriptors) for held in map(many.held.get, sandboxes) if held}
    assert (len(many.held), len(of_each)) == (PODS, 1)
    assert descriptors() - before == len(many.held.descriptors) == PODS * of_each.pop()
    for number, sandbox in enumerate(sandboxes):
        view = await viewed(backend, sandbox)
        assert view.table.rules("ISTIO_INBOUND") == (
            f"-A ISTIO_INBOUND -p tcp -m tcp --dport {10000 + number} -j ISTIO_IN_REDIRECT",
        )
    many.held.close_all()


async def test_lost_notices_are_a_reason_to_look_again(
    many: Holder, namespaces: Namespaces
) -> None:
    """Nobody is named for what was not heard."""
    sandbox = sandbox_number(0)
    held = await many.held.hold(sandbox)
    _, watched, _ = namespaces.kept[sandbox.key]
    watched.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
    for number in range(300):  # our own, which are no reason; one of another was lost perhaps
        blob = Blob.of((messages.add_table(V4), messages.create_chain(V4, f"C{number}")))
        held.channel.commit(blob, held.channel.generation())
    await one_loop_turn()
    assert set(many.changed) == {sandbox.pod_uid}
    assert held.changed_by is None
    many.held.close_all()


async def test_what_is_held_for_one_claim_serves_no_other(holder: Holder, pod: Pod) -> None:
    """A pod that says it were this one, with other addresses, is refused; this one goes on."""
    honest, forged = pod.sandbox(), pod.sandbox("192.0.2.1")
    held = await holder.held.hold(honest)
    with pytest.raises(SandboxRefusedError) as raised:
        await holder.held.hold(forged)
    assert raised.value.refusal is Refusal.ADDRESS_MISSING
    assert holder.held.get(forged) is None
    assert holder.held.get(honest) is held
    assert held.channel.generation()


async def test_a_pod_that_gets_an_address_is_verified_anew(holder: Holder, pod: Pod) -> None:
    """And what was held before is let go."""
    first = await holder.held.hold(pod.sandbox())
    second = await holder.held.hold(pod.sandbox(ADDRESS, "fd00:9::77"))
    assert second is not first
    assert holder.counts == [1, 0, 1]
    assert second.channel.generation()
