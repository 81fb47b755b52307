"""Pods that start under a runtime that tells no addresses, as containerd before 2.1.

The runtime is played, over the real socket and protocol; the rest is real.
"""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from capture_agent.broker_client import Broker
from capture_agent.candidates import Candidates
from capture_agent.examining import Clocks, Examiner
from capture_agent.held_sandboxes import HeldSandboxes
from capture_agent.iptables_backend import IptablesBackend
from capture_agent.journal import Journal
from capture_agent.looks import Timing
from capture_agent.netlink_backend import NetlinkBackend
from capture_agent.node_view import NodeView
from capture_agent.nri_connection import NriConnection
from capture_agent.pod_loop import PodLoop
from capture_agent.reconciling import Reconciler
from capture_agent.sandbox_finder import SandboxFinder
from capture_agent.start_gate import StartGate
from capture_agent.told_sandboxes import ToldSandboxes
from capture_agent.zygote_client import Zygote
from capture_api.capture_programs import CaptureProgram
from capture_api.meta import ObjectMeta
from capture_api.node_captures import AgentInfo
from capture_api.wire import encode
from capture_nri import nri_pb2
from kernel.capture_agent.privileges import as_the_agent
from kernel.pods import ADDRESS6, Pod, started_pod
from unit.capture_agent.captures import program_spec
from unit.capture_nri.fake_runtime import Plugin, running_runtime
from unit.capture_nri.runtime_side import containerd_pod

TABLES = ("iptables-nft", "ip6tables-nft")


async def nobody(_: object) -> tuple[()]:
    """Say that nobody listens."""
    return ()


@pytest.fixture
async def runtime(zygote: Zygote, tools: IptablesBackend, tmp_path: Path) -> AsyncIterator[Plugin]:
    """The runtime's end of an agent whose one capture selects every pod of its namespace."""
    meta = ObjectMeta(name="web", uid="p", namespace="demo")
    programs = {("demo", "web"): CaptureProgram(meta, encode(program_spec()))}
    async with Broker(zygote) as opener:
        held = HeldSandboxes(opener, lambda _: None, lambda _: None)
        node = NodeView(opener, opener, held)
        finder = SandboxFinder(node, zygote.host, time.monotonic, lambda _: None)
        backend, journal = NetlinkBackend(held, tools), Journal(tmp_path / "journal.json", "boot")
        examiner = Examiner(
            reconciler=Reconciler(backend, journal, time.monotonic, lambda: 0.0),
            finder=finder,
            listeners=nobody,
            programs=programs,
            clocks=Clocks(time.monotonic, time.time, time.monotonic),
        )
        timing = Timing(time.monotonic, lambda: 1.0, 10.0)
        gate = StartGate(
            loop=PodLoop(examiner.examine, lambda: None, timing, AgentInfo(ready=True)),
            sandboxes=ToldSandboxes(finder, held.close),
            candidates=Candidates(programs),
            never_refused=frozenset(),
            told=lambda **_: None,
        )
        async with connected(gate, tmp_path / "nri.sock") as plugin:
            yield plugin
        held.close_all()


@contextlib.asynccontextmanager
async def connected(gate: StartGate, socket: Path) -> AsyncIterator[Plugin]:
    """Have a runtime take the agent in; its patience is not what is tested."""
    async with running_runtime(socket) as runtime:
        connection = asyncio.create_task(NriConnection(gate, socket=socket, budget=60.0).run())
        plugin = await runtime.accept()
        await plugin.greet()
        yield plugin
        connection.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await connection


def described(pod: Pod, *, path: str = "") -> nri_pb2.PodSandbox:
    """Describe a pod without addresses; with a path, as a runtime that has no process there."""
    if not path:
        return containerd_pod(uid=pod.uid, pid=pod.pid, ips=[])
    network = nri_pb2.LinuxNamespace(type="network", path=path)
    linux = nri_pb2.LinuxPodSandbox(namespaces=[network])
    return containerd_pod(uid=pod.uid, pid=0, ips=[], linux=linux)


def captured(pod: Pod) -> list[bool]:
    """Say of each family whether our rules are there."""
    return ["-j ISTIO_OUTPUT" in pod.run(table, "-t", "nat", "-S") for table in TABLES]


def ip_netns(*arguments: str) -> None:
    """Keep a network namespace on the node, or let it go."""
    subprocess.run(["ip", "netns", *arguments], check=True)


@pytest.fixture(params=["a process", "a process with users of its own", "a path"])
def starting(request: pytest.FixtureRequest) -> Iterator[tuple[Pod, nri_pb2.PodSandbox]]:
    """A pod that starts, and what the runtime says of it."""
    with started_pod(own_users="users" in request.param) as pod, contextlib.ExitStack() as kept:
        if "path" in request.param:
            ip_netns("attach", f"cni-{pod.uid}", str(pod.pid))
            kept.callback(ip_netns, "delete", f"cni-{pod.uid}")
            yield pod, described(pod, path=f"/var/run/netns/cni-{pod.uid}")
        else:
            yield pod, described(pod)


async def test_a_pod_whose_addresses_nobody_told_is_captured_before_the_answer(
    runtime: Plugin, starting: tuple[Pod, nri_pb2.PodSandbox]
) -> None:
    """In both families: its namespace has addresses of both."""
    pod, told = starting
    with as_the_agent():
        assert await runtime.starts(told) is None
    assert captured(pod) == [True, True]
    assert await runtime.creates_container(told) is None


async def test_a_pod_is_captured_in_the_families_that_its_namespace_has(
    runtime: Plugin, pod: Pod
) -> None:
    """The loopback interface and links have addresses of both in any case."""
    pod.run("ip", "address", "del", f"{ADDRESS6}/128", "dev", "lo")
    pod.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
    pod.run("ip", "link", "set", "v0", "up")
    pod.run("ip", "link", "set", "v1", "up")
    assert await runtime.starts(described(pod)) is None
    assert captured(pod) == [True, False]


async def test_a_pod_without_an_address_has_no_container_until_it_is_captured(
    runtime: Plugin, pod: Pod
) -> None:
    """That nothing can be said of it yet does not mean that no capture applies."""
    addresses = pod.run("ip", "-o", "address", "show", "scope", "global").splitlines()
    there = [line.split()[3] for line in addresses]
    for address in there:
        pod.run("ip", "address", "del", address, "dev", "lo")
    assert await runtime.starts(described(pod)) is None
    refusal = await runtime.creates_container(described(pod))
    assert refusal is not None
    assert "NoPodIP" in refusal
    assert captured(pod) == [False, False]
    for address in there:
        pod.run("ip", "address", "add", address, "dev", "lo")
    assert await runtime.creates_container(described(pod)) is None
    assert captured(pod) == [True, True]
