"""What every backend does alike: one suite, run against all of them.

Tampering is the rest of it: `test_drift_repair`.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from capture_agent.broker_client import Broker
from capture_agent.fake_backend import FAKE, FakeBackend
from capture_agent.held_sandboxes import HeldSandboxes
from capture_agent.iptables_backend import NFT, IptablesBackend
from capture_agent.journal import Journal
from capture_agent.nat_backends import NatBackend
from capture_agent.netlink_backend import NetlinkBackend
from capture_agent.netlink_views import NETLINK
from capture_agent.python_iptables_backend import LEGACY, PYTHON_IPTABLES, LegacyTools
from capture_agent.reconciling import Reconciler
from capture_agent.records import PodRecord
from capture_agent.zygote_client import Zygote
from capture_api.node_captures import PodState
from capture_nat.commands import Command, DeleteRule, Flush, InsertFirst, Refill
from capture_nat.rulesets import Chain
from kernel.capture_agent.privileges import as_the_agent
from kernel.capture_agent.released_tools import ReleaseBroker
from kernel.capture_agent.worlds import FakeWorld, Interfering, PodWorld, World
from kernel.conftest import fetched
from kernel.iptables_releases import RELEASES
from kernel.pods import Pod, started_pod
from reference_rules import REFERENCE_RULES
from unit.capture_agent.captures import capture, program, record

JUMP = "-A OUTPUT -p tcp -j ISTIO_OUTPUT"
REFERENCE = REFERENCE_RULES.splitlines()

FOREIGN = (
    Refill(Chain("FOREIGN", ("-A FOREIGN -s 10.0.0.0/8 -j RETURN",))),
    InsertFirst('-A OUTPUT -p udp -m comment --comment "foreign \\"-A OUTPUT\\"" -j FOREIGN'),
    InsertFirst("-A POSTROUTING -d 192.0.2.77/32 -j ACCEPT"),
)
THEIRS = ("FOREIGN", "192.0.2.77")

OWN_USERS = "own users"
"""The tools, in a pod with a user namespace of its own, for an agent with its few capabilities."""

LATER = f"{NFT} {RELEASES[-1].version}"
"""The tools of an image to come, beside those that others have."""


@pytest.fixture(params=[FAKE, NFT, LATER, NETLINK, OWN_USERS, LEGACY, PYTHON_IPTABLES])
async def world(
    request: pytest.FixtureRequest, pod: Pod, tools: IptablesBackend, zygote: Zygote
) -> AsyncIterator[World]:
    """A pod that is served by each backend in turn."""
    if request.param == FAKE:
        yield FakeWorld(FakeBackend())
    elif request.param == NETLINK:
        async with Broker(zygote) as opener:
            held = HeldSandboxes(opener, lambda _: None, lambda _: None)
            yield PodWorld(NETLINK, NetlinkBackend(held, tools), pod, pod.sandbox())
            held.close_all()
    elif request.param == OWN_USERS:
        with started_pod(own_users=True) as own_users:
            sandbox = own_users.sandbox()
            async with Broker(zygote) as opener:
                held = HeldSandboxes(opener, lambda _: None, lambda _: None)
                with as_the_agent():
                    yield PodWorld(NFT, NetlinkBackend(held, tools), own_users, sandbox)
                held.close_all()
    elif request.param == LATER:
        async with ReleaseBroker(zygote, fetched(RELEASES[-1], request.config)) as runner:
            yield PodWorld(NFT, IptablesBackend(runner), pod, pod.sandbox())
    else:
        if request.param != NFT:
            # A pod is served in its legacy table if there is something in it.
            pod.run("iptables-legacy", "-t", "nat", "-N", "THERE")
        served = IptablesBackend(tools.broker, LegacyTools(request.param))
        yield PodWorld(request.param, tools if request.param == NFT else served, pod, pod.sandbox())


def reconciler_over(backend: NatBackend, folder: Path) -> Reconciler:
    """Build a reconciler for which an hour passes between any two things that it does."""
    hours = iter(range(0, 10**9, 3600))
    journal = Journal(folder / "journal.json", "boot")
    return Reconciler(backend, journal, lambda: float(next(hours)), lambda: 0.0)


@pytest.fixture
def reconciler(world: World, tmp_path: Path) -> Reconciler:
    """A reconciler over the backend."""
    return reconciler_over(world.backend, tmp_path)


def ours(world: World) -> list[str]:
    """List what is ours: chains first, then each chain's rules in order."""
    return sorted((line for line in world.rules() if "ISTIO" in line), key=_place)


def _place(line: str) -> tuple[int, str]:
    command, chain, *_ = line.split()
    if command == "-N":
        return 0, chain
    return (1, "") if chain == "PREROUTING" else (2, "") if chain == "OUTPUT" else (3, chain)


def theirs(world: World) -> list[str]:
    """List what is not ours, with what tells that it was rewritten."""
    return [line for line in world.records() if any(mark in line for mark in THEIRS)]


async def captured(world: World, reconciler: Reconciler) -> PodRecord:
    """Bring the reference program in."""
    after = await reconciler.capture(record(), capture(), world.sandbox)
    assert (after.finding.state, after.backend) == (PodState.PROGRAMMED, world.variant)
    return after


async def test_a_program_comes_in(world: World, reconciler: Reconciler) -> None:
    """Rule by rule, in order."""
    await captured(world, reconciler)
    assert ours(world) == REFERENCE


async def test_a_pass_over_an_equal_state_writes_nothing(
    world: World, reconciler: Reconciler
) -> None:
    """Counters and handles survive."""
    after = await captured(world, reconciler)
    world.send_packet()
    before = world.records()
    after = await reconciler.capture(after, capture(), world.sandbox)
    assert after.finding.state is PodState.PROGRAMMED
    assert world.records() == before


async def test_a_changed_program_replaces_the_first(world: World, reconciler: Reconciler) -> None:
    """No drift is told of what we changed ourselves."""
    after = await captured(world, reconciler)
    after = await reconciler.capture(after, capture(program(port="81")), world.sandbox)
    assert (after.finding.state, after.detected) == (PodState.PROGRAMMED, 0)
    changed = [line.replace("--dport 80", "--dport 81") for line in REFERENCE]
    assert ours(world) == changed


async def test_foreign_rules_are_kept_bit_for_bit(world: World, reconciler: Reconciler) -> None:
    """Through a program, a change, a repair and a release."""
    world.change(*FOREIGN)
    before = theirs(world)
    assert before
    after = await captured(world, reconciler)
    assert theirs(world) == before
    after = await reconciler.capture(after, capture(program(port="81")), world.sandbox)
    world.change(DeleteRule(JUMP))
    after = await reconciler.capture(after, capture(program(port="81")), world.sandbox)
    assert theirs(world) == before
    await reconciler.release(after, world.sandbox)
    assert theirs(world) == before


async def test_a_release_leaves_nothing_of_ours(world: World, reconciler: Reconciler) -> None:
    """And all that was there before."""
    world.change(*FOREIGN)
    before = world.rules()
    after = await captured(world, reconciler)
    after = await reconciler.release(after, world.sandbox)
    assert after.held_by == ""
    assert world.rules() == before


@pytest.mark.parametrize(
    "meanwhile",
    [
        FOREIGN,
        (*FOREIGN, Refill(Chain("MINE", ("-A MINE -j RETURN",))), InsertFirst("-A OUTPUT -j MINE")),
        (InsertFirst(JUMP),),
        (Flush("ISTIO_OUTPUT"),),
    ],
    ids=["rules", "a chain", "our jump", "our chain"],
)
async def test_a_writer_that_gets_in_between_loses_nothing(
    world: World, reconciler: Reconciler, tmp_path: Path, meanwhile: tuple[Command, ...]
) -> None:
    """Between our look and our write; the next pass has one jump of ours, ahead of theirs."""
    after = await captured(world, reconciler)
    world.change(DeleteRule(JUMP))
    interfered = reconciler_over(Interfering(world, meanwhile), tmp_path)
    after = await interfered.capture(after, capture(), world.sandbox)
    before = theirs(world)
    after = await interfered.capture(after, capture(), world.sandbox)
    assert after.finding.state is PodState.PROGRAMMED
    assert ours(world) == REFERENCE
    assert theirs(world) == before
    expected = {rule.rule for rule in meanwhile if isinstance(rule, InsertFirst)}
    assert expected <= set(world.rules())
