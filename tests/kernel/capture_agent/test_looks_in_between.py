"""A pod that changes, or is large, while it is looked at: no look mixes two states or stops others.

The changes are made by a socket that lets somebody else write in the middle of a look.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import cast

import pytest

from capture_agent.broker_client import Broker
from capture_agent.held_sandboxes import HeldSandboxes
from capture_agent.iptables_backend import IptablesBackend
from capture_agent.nat_backends import NatChange, NatView, TableChangedError, TableFailure
from capture_agent.netlink_backend import NetlinkBackend
from capture_agent.nft_channel import NftChannel
from capture_agent.zygote_client import Zygote
from capture_nat.compiling import compile_program
from capture_nat.families import Family
from capture_nat.planning import plan_changes
from capture_nft.messages import dump_rules
from kernel.capture_nft.channels import netfilter_socket
from kernel.conftest import NetworkNamespace
from kernel.pods import Pod
from unit.capture_agent.captures import program

V4 = Family.IPV4
RULES = 4000
"""Of somebody else: more than is read at once, less than is too much."""


@dataclass
class World:
    """The backend, and what it holds."""

    held: HeldSandboxes
    backend: NetlinkBackend

    async def view(self, pod: Pod) -> NatView:
        """Look at a pod's IPv4 table."""
        view = (await self.backend.observe(pod.sandbox(), (V4,)))[V4]
        assert isinstance(view, NatView)
        return view


def ignored(_: str) -> None:
    """Hear of a pod, and do nothing."""


@pytest.fixture
async def world(zygote: Zygote, tools: IptablesBackend) -> AsyncIterator[World]:
    """A backend that nobody tells of changes."""
    async with Broker(zygote) as opener:
        held = HeldSandboxes(opener, ignored, ignored)
        yield World(held, NetlinkBackend(held, tools))
        held.close_all()


@dataclass
class Interrupted:
    """A socket over which, once, somebody writes between the dumps of chains and of rules."""

    sock: socket.socket
    write: Callable[[], object]
    has_written: bool = False

    def send(self, request: bytes) -> int:
        """Let the other write first."""
        if request == dump_rules() and not self.has_written:
            self.has_written = True
            self.write()
        return self.sock.send(request)

    def __getattr__(self, name: str) -> object:
        """Do everything else as the socket does."""
        return getattr(self.sock, name)


async def test_a_look_is_of_one_generation(world: World, pod: Pod) -> None:
    """What changed in the middle of it is read anew as a whole."""
    pod.run("nft", "add table ip nat; add chain ip nat A")
    held = await world.held.hold(pod.sandbox())
    write = "add chain ip nat B; add rule ip nat B return; add rule ip nat A jump B"
    held.channel.close()
    sock = Interrupted(netfilter_socket(NetworkNamespace(pod.pid)), lambda: pod.run("nft", write))
    held.channel = NftChannel(cast("socket.socket", sock))
    view = await world.view(pod)
    assert view.table.rules("A") == ("-A A -j B",)
    assert view.table.chains.keys() == {"A", "B"}
    assert view.generation == held.channel.generation()


async def test_what_was_read_before_a_notice_is_not_believed_after_it(
    world: World, pod: Pod
) -> None:
    """The kernel may have counted on already when the rules were still the old ones."""
    await world.view(pod)
    held = await world.held.hold(pod.sandbox())
    pod.run("nft", "add table ip theirs")
    assert held.seen is not None
    held.seen = type(held.seen)(held.channel.generation(), held.seen.dump, held.seen.contents)
    assert world.backend.is_unchanged(pod.sandbox())
    await turns_of_the_loop()
    assert not world.backend.is_unchanged(pod.sandbox())


async def test_what_came_after_the_notice_is_seen_by_the_look_that_it_led_to(
    world: World, pod: Pod
) -> None:
    """The generation that was heard of is over then, and is not heard of again."""
    await world.view(pod)
    held = await world.held.hold(pod.sandbox())
    pod.run("nft", "add table ip nat; add chain ip nat HEARD")
    await turns_of_the_loop()
    assert held.heard == held.channel.generation(), "else there is nothing to attack"
    pod.run("nft", "add chain ip nat LATER; add rule ip nat LATER return")
    view = await world.view(pod)
    assert view.table.chains.keys() == {"HEARD", "LATER"}
    assert view.generation == held.channel.generation()
    assert held.heard is None


async def test_what_was_heard_of_need_not_be_asked_for(
    world: World, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless there were more changes than one: others may be on their way."""
    await world.view(pod)
    asked: list[int] = []
    generation = NftChannel.generation

    def counted(self: NftChannel) -> int:
        asked.append(generation(self))
        return asked[-1]

    monkeypatch.setattr(NftChannel, "generation", counted)
    pod.run("nft", "add table ip nat; add chain ip nat A; add rule ip nat A return")
    await turns_of_the_loop()
    await world.view(pod)
    assert asked == []
    pod.run("nft", "add chain ip nat B")
    pod.run("nft", "add chain ip nat C")
    await turns_of_the_loop()
    view = await world.view(pod)
    assert asked == [view.generation]


async def turns_of_the_loop() -> None:
    """Have what the kernel told heard."""
    for _ in range(2):
        await asyncio.sleep(0)


async def written(world: World, pod: Pod, view: NatView) -> TableFailure | None:
    """Write the reference rules for what was seen."""
    plan = plan_changes(compile_program(program(), V4), view.table, frozenset())
    return (await world.backend.apply(pod.sandbox(), {V4: NatChange(view, plan)})).get(V4)


async def test_what_somebody_wrote_since_the_look_is_not_overwritten_unseen(
    world: World, pod: Pod
) -> None:
    """The kernel knows, whether we have heard of it or not."""
    view = await world.view(pod)
    pod.run("nft", "add table ip nat; add chain ip nat THEIRS")
    before = pod.run("nft", "list", "ruleset")
    assert isinstance(await written(world, pod, view), TableChangedError)
    assert pod.run("nft", "list", "ruleset") == before
    later = await world.view(pod)
    assert isinstance(await written(world, pod, view), TableChangedError), "it is of before"
    assert pod.run("nft", "list", "ruleset") == before
    assert await written(world, pod, later) is None


async def test_a_legacy_table_is_a_change_although_the_kernel_does_not_tell(
    world: World, pod: Pod
) -> None:
    """It makes no generation and no notice."""
    assert await written(world, pod, await world.view(pod)) is None
    await world.view(pod)
    assert world.backend.is_unchanged(pod.sandbox())
    pod.run("ip6tables-legacy", "-t", "nat", "-L")
    assert not world.backend.is_unchanged(pod.sandbox())


async def test_others_go_on_while_a_large_table_is_read(world: World, pod: Pod) -> None:
    """It is read beside the event loop."""
    script = "".join(
        f"add rule ip nat A ip saddr 10.0.{each >> 8}.{each & 255} accept\n"
        for each in range(RULES)
    )
    pod.run("nft", "-f", "-", stdin=f"add table ip nat\nadd chain ip nat A\n{script}")
    await world.held.hold(pod.sandbox())
    look = asyncio.create_task(world.view(pod))
    turns = 0
    while not look.done():
        turns += 1
        await asyncio.sleep(0)
    assert len((await look).table.rules("A")) == RULES
    assert turns > len(("it begins", "it waits", "it ends"))
