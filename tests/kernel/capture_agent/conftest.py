"""A pod, a broker that enters it, and a reconciler on top; the host's rules are watched."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from capture_agent.broker_client import Broker
from capture_agent.held_sandboxes import HeldSandboxes
from capture_agent.iptables_backend import NFT, IptablesBackend
from capture_agent.journal import Journal
from capture_agent.nat_backends import NatBackend
from capture_agent.netlink_backend import NetlinkBackend
from capture_agent.netlink_views import NETLINK
from capture_agent.processes import netns_of
from capture_agent.reconciling import Reconciler
from capture_agent.zygote_client import Zygote, started_zygote
from capture_api.node_captures import NetnsIdentity
from kernel.pods import Pod, started_pod


def host_rules() -> tuple[str, str]:
    """List every nf_tables rule and legacy table of the namespace that these tests run in."""
    listed = subprocess.run(
        ["nft", "--stateless", "list", "ruleset"], capture_output=True, text=True, check=True
    )
    legacy = Path("/proc/self/net/ip_tables_names")
    return listed.stdout, legacy.read_text() if legacy.exists() else ""


@pytest.fixture(autouse=True)
def _untouched_host() -> Iterator[None]:
    """Whatever a test does: the host's rules are equal before and after."""
    before = host_rules()
    yield
    assert host_rules() == before


@pytest.fixture
def host() -> NetnsIdentity:
    """The namespace that no broker may enter: that of the tests."""
    return netns_of(os.getpid())


@pytest.fixture
def pod() -> Iterator[Pod]:
    """A pod with an address and no rules."""
    with started_pod() as pod:
        yield pod


@pytest.fixture
def other_pod() -> Iterator[Pod]:
    """Another one, with the same address."""
    with started_pod() as pod:
        yield pod


@pytest.fixture
def zygote(host: NetnsIdentity) -> Iterator[Zygote]:
    """What brokers are forked from."""
    with started_zygote(host) as zygote:
        yield zygote


@pytest.fixture
async def broker(zygote: Zygote) -> AsyncIterator[Broker]:
    """A broker that is started by its first request."""
    async with Broker(zygote) as broker:
        yield broker


@pytest.fixture(params=[NFT, NETLINK])
def served_by(request: pytest.FixtureRequest) -> str:
    """Say who serves a pod without legacy tables: each backend under test in turn."""
    return str(request.param)


@pytest.fixture
def tools(broker: Broker) -> IptablesBackend:
    """The backend that uses the command-line tools."""
    return IptablesBackend(broker)


@pytest.fixture
async def backend(
    served_by: str, tools: IptablesBackend, zygote: Zygote
) -> AsyncIterator[NatBackend]:
    """The backend under test."""
    if served_by == NFT:
        yield tools
        return
    async with Broker(zygote) as opener:
        held = HeldSandboxes(opener, lambda _: None, lambda _: None)
        yield NetlinkBackend(held, tools)
        held.close_all()


@pytest.fixture
def reconciler(backend: NatBackend, tmp_path: Path) -> Reconciler:
    """A reconciler for which an hour passes between any two things that it does."""
    hours = iter(range(0, 10**9, 3600))
    return Reconciler(
        backend,
        Journal(tmp_path / "journal.json", "boot"),
        lambda: float(next(hours)),
        lambda: 0.0,
    )
