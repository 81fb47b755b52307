"""A sandbox that is a path alone: a runtime keeps its namespace, and no process is in it."""

import contextlib
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from msgspec.structs import replace

from capture_agent.broker_client import Broker, SandboxRefusedError
from capture_agent.broker_protocol import Execute, Refusal, SocketKind
from capture_agent.held_sandboxes import HeldSandboxes
from capture_agent.iptables_backend import IptablesBackend
from capture_agent.journal import Journal
from capture_agent.netlink_backend import NetlinkBackend
from capture_agent.netlink_views import NETLINK
from capture_agent.reconciling import Reconciler
from capture_agent.records import PROGRAMMED
from capture_agent.sandboxes import Sandbox
from capture_agent.zygote_client import Zygote
from kernel.pods import ADDRESS
from unit.capture_agent.captures import capture, record

WRITE = Execute(("nft", "add table ip nat; add chain ip nat WRITTEN"), must_succeed=True)


def ip(*arguments: str) -> None:
    """Run iproute2 on the node."""
    subprocess.run(["ip", *arguments], check=True)


def keep(name: str) -> None:
    """Keep a namespace with an address under a name."""
    ip("netns", "add", name)
    ip("-n", name, "link", "set", "lo", "up")
    ip("-n", name, "address", "add", f"{ADDRESS}/32", "dev", "lo")


@pytest.fixture
def name() -> Iterator[str]:
    """Name a kept namespace."""
    name = f"cni-{uuid.uuid4()}"
    keep(name)
    yield name
    with contextlib.suppress(subprocess.CalledProcessError):
        ip("netns", "delete", name)


async def claim(broker: Broker, name: str) -> Sandbox:
    """Claim what is true of it."""
    path = f"/var/run/netns/{name}"
    netns = await broker.netns(path)
    assert netns is not None
    return Sandbox(pod_uid="a", pid=0, start_time=0, netns=netns, pod_ips=(ADDRESS,), path=path)


def rules(name: str) -> str:
    """List everything that is in the namespace."""
    argv = ["ip", "netns", "exec", name, "nft", "list", "ruleset"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


async def test_the_namespace_under_a_path_is_entered(broker: Broker, name: str) -> None:
    """For steps and for sockets alike."""
    sandbox = await claim(broker, name)
    assert sandbox.netns.inode == Path(f"/run/netns/{name}").stat().st_ino  # noqa: ASYNC240
    await broker.run(sandbox, WRITE)
    (await broker.open(sandbox, SocketKind.NETFILTER)).close()
    assert "WRITTEN" in rules(name)


async def test_a_sandbox_without_a_process_is_captured(
    broker: Broker, zygote: Zygote, name: str, tmp_path: Path
) -> None:
    """Over held sockets, as any other."""
    sandbox = await claim(broker, name)
    async with Broker(zygote) as runner:
        held = HeldSandboxes(broker, ignored, ignored)
        backend = NetlinkBackend(held, IptablesBackend(runner))
        reconciler = Reconciler(backend, Journal(tmp_path / "j", "b"), lambda: 0.0, lambda: 0.0)
        after = await reconciler.capture(record(), capture(), sandbox)
        assert (after.finding, after.backend) == (PROGRAMMED, NETLINK)
        assert backend.is_unchanged(sandbox)
        held.close_all()
    assert "ISTIO_OUTPUT" in rules(name)


def ignored(_: str) -> None:
    """Hear of a pod, and do nothing."""


async def refused(broker: Broker, sandbox: Sandbox) -> Refusal:
    """Ask for a write where none may happen."""
    with pytest.raises(SandboxRefusedError) as raised:
        await broker.run(sandbox, WRITE)
    return raised.value.refusal


async def test_a_replaced_namespace_is_not_entered(broker: Broker, name: str) -> None:
    """The path is the same, and what is there has the same address."""
    sandbox = await claim(broker, name)
    holder = subprocess.Popen(  # noqa: ASYNC220 - keeps the inode's number from being given anew
        ["ip", "netns", "exec", name, "cat"], stdin=subprocess.PIPE
    )
    with holder:
        ip("netns", "delete", name)
        keep(name)
        assert await refused(broker, sandbox) is Refusal.SANDBOX_CHANGED
        assert rules(name) == ""


async def test_a_removed_namespace_is_gone(broker: Broker, name: str) -> None:
    """Nothing is under its path any more."""
    sandbox = await claim(broker, name)
    ip("netns", "delete", name)
    assert await refused(broker, sandbox) is Refusal.SANDBOX_GONE
    assert await broker.netns(sandbox.path or "") is None


FALSE_CLAIMS: dict[str, tuple[Callable[[Sandbox], Sandbox], Refusal]] = {
    "another address": (
        lambda own: replace(own, pod_ips=("10.0.0.1",)),
        Refusal.ADDRESS_MISSING,
    ),
    "no address": (lambda own: replace(own, pod_ips=()), Refusal.ADDRESS_MISSING),
    "another namespace": (
        lambda own: replace(own, netns=replace(own.netns, inode=1)),
        Refusal.SANDBOX_CHANGED,
    ),
}


@pytest.mark.parametrize("claimed", FALSE_CLAIMS)
async def test_a_false_claim_is_refused(broker: Broker, name: str, claimed: str) -> None:
    """There is no process that could speak for it, so the address is required."""
    falsify, refusal = FALSE_CLAIMS[claimed]
    assert await refused(broker, falsify(await claim(broker, name))) is refusal
    assert rules(name) == ""


async def test_addresses_that_are_said_to_be_unknown_are_told(broker: Broker, name: str) -> None:
    """For a pod that starts; the namespace has to be the claimed one all the same."""
    sandbox = replace(await claim(broker, name), pod_ips=(), addresses_unknown=True)
    assert ip_address(ADDRESS).packed in await broker.addresses(sandbox)
    with pytest.raises(SandboxRefusedError) as raised:
        await broker.addresses(replace(sandbox, netns=replace(sandbox.netns, inode=1)))
    assert raised.value.refusal is Refusal.SANDBOX_CHANGED


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/proc/1/ns/net",
        "/proc/self/ns/net",
        "/run/netns/../../proc/self/ns/net",
        "/run/netns/..",
        "/run/netns/",
        "/run/netns/a/b",
        "run/netns/a",
        "/run/netns/a\n",
        "/etc/passwd",
    ],
)
async def test_no_other_path_is_opened(broker: Broker, path: str) -> None:
    """Whatever is there."""
    assert await broker.netns(path) is None


async def test_the_hosts_namespace_is_never_entered_by_a_path(broker: Broker, name: str) -> None:
    """Somebody gave it a name there, and the claim is true in every word."""
    sandbox = await claim(broker, name)
    ip("netns", "delete", name)
    ip("netns", "attach", name, str(os.getpid()))
    host = await broker.netns(sandbox.path or "")
    assert host is not None
    there = replace(sandbox, netns=host, pod_ips=("127.0.0.1",))
    assert await refused(broker, there) is Refusal.HOST_NETWORK


@pytest.fixture(params=["a file without its mount", "a link to elsewhere"])
def no_namespace(request: pytest.FixtureRequest, name: str) -> Iterator[str]:
    """Put something else into the directory."""
    path = Path(f"/run/netns/{name}-x")
    if "link" in request.param:
        path.symlink_to(f"/run/netns/{name}")
    else:
        path.touch()
    yield str(path)
    path.unlink()


async def test_what_is_no_namespace_is_nothing(broker: Broker, no_namespace: str) -> None:
    """Nothing is followed, and a file is none."""
    assert await broker.netns(no_namespace) is None
