"""The zygote keeps the capabilities that the agent gives up, and ends with the agent or before."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from capture_agent.broker_client import Broker, BrokerLostError
from capture_agent.broker_protocol import Execute, SocketKind
from capture_agent.broker_stream import readable
from capture_agent.capabilities import AGENT, BROKER, mask
from capture_agent.zygote_client import Zygote, ZygoteLostError, started_zygote
from capture_api.node_captures import NetnsIdentity
from kernel.pods import Pod

AGENT_PROCESS = """
import os, pathlib, subprocess
from capture_agent.broker_stream import readable
from capture_agent.capabilities import AGENT, keep_only
from capture_agent.linux_calls import CLONE_NEWNET, setns
keep_only(AGENT)
print(pathlib.Path("/proc/self/status").read_text())
print(subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout)
try:
    setns(os.open("/proc/self/ns/net", os.O_RDONLY), CLONE_NEWNET)
    print("entered")
except PermissionError:
    print("denied")
"""


def capabilities(status: str) -> set[tuple[str, int]]:
    """Read the capability sets of a process's status."""
    lines = (line.split() for line in status.splitlines() if line.startswith("Cap"))
    return {(name, int(value, 16)) for name, value in lines}


def only(kept: int, bounding: int | None = None) -> set[tuple[str, int]]:
    """Name the sets of a process that has given up all but these."""
    return {
        ("CapInh:", 0),
        ("CapPrm:", kept),
        ("CapEff:", kept),
        ("CapBnd:", kept if bounding is None else bounding),
        ("CapAmb:", 0),
    }


async def test_zygote_and_broker_have_four_capabilities(
    zygote: Zygote, broker: Broker, pod: Pod
) -> None:
    """Those that entering a namespace and writing its rules take."""
    await broker.run(pod.sandbox())
    for pid in (zygote.process.pid, broker.pid):
        status = Path(f"/proc/{pid}/status").read_text()  # noqa: ASYNC240 - no file system
        assert capabilities(status) == only(mask(BROKER))


IN_THE_CHARTS_POD = (
    "setpriv", "--no-new-privs", "--inh-caps=-all",
    "--bounding-set=-all,+net_admin,+net_raw,+sys_admin,+sys_ptrace",
)  # fmt: skip
"""Starts a program with what a container of the chart has: SETPCAP is not among it."""


@pytest.mark.parametrize(
    ("start", "bounding"), [((), mask(AGENT)), (IN_THE_CHARTS_POD, mask(BROKER))]
)
def test_an_agent_keeps_two_for_good(start: tuple[str, ...], bounding: int) -> None:
    """A program that it runs as root has them no more than it has itself."""
    done = subprocess.run(
        [*start, sys.executable, "-c", AGENT_PROCESS], capture_output=True, text=True, check=True
    )
    own, run, opened = done.stdout.rsplit("\n\n", 2)
    assert capabilities(own) == capabilities(run) == only(mask(AGENT), bounding)
    assert "NoNewPrivs:\t1" in own
    assert opened == "denied\n"


async def test_a_killed_zygote_is_noticed_and_its_brokers_end(
    host: NetnsIdentity, pod: Pod
) -> None:
    """The agent is told, and requests fail instead of waiting."""
    with started_zygote(host) as zygote:
        noticed = asyncio.Event()
        async with Broker(zygote) as broker:
            await broker.run(pod.sandbox())
            assert broker.pid is not None
            pidfd = os.pidfd_open(broker.pid)
            with zygote.watched(noticed.set):
                zygote.process.kill()
                await asyncio.wait_for(noticed.wait(), 10)
            assert zygote.is_lost
            await ended(pidfd)
            with pytest.raises(BrokerLostError, match="zygote"):
                await broker.run(pod.sandbox())


async def ended(pidfd: int) -> None:
    """Wait for the end of a process and close its pidfd."""
    await asyncio.wait_for(readable(pidfd), 10)
    os.close(pidfd)


async def test_a_zygote_that_hangs_is_killed(
    host: NetnsIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is as lost as a dead one."""
    monkeypatch.setattr("capture_agent.zygote_client._ANSWER_SECONDS", 0.2)
    with started_zygote(host) as zygote:
        noticed = asyncio.Event()
        zygote.process.send_signal(signal.SIGSTOP)
        with zygote.watched(noticed.set):
            with pytest.raises(ZygoteLostError, match="hangs"):
                await zygote.fork()
            await asyncio.wait_for(noticed.wait(), 10)


def children(pid: int) -> str:
    """List the children of a process, dead ones included."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


async def test_a_cancelled_fork_leaves_no_broker(zygote: Zygote) -> None:
    """Nor its stream: whoever is forked next answers what it is asked."""
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - no file system
    for _ in range(5):
        fork = asyncio.create_task(zygote.fork())
        await asyncio.sleep(0)
        fork.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fork
    forked = await zygote.fork()  # it answers in order: the others are behind
    forked.connection.close()
    await zygote.end(forked.pid)
    assert children(zygote.process.pid) == ""
    assert len(os.listdir("/proc/self/fd")) == len(before)  # noqa: PTH208


async def test_a_broker_that_hangs_while_it_opens_is_replaced(zygote: Zygote, pod: Pod) -> None:
    """And another one is not kept waiting by it."""
    async with Broker(zygote, hang_seconds=0.2) as broker, Broker(zygote) as other:
        (await broker.open(pod.sandbox(), SocketKind.NETFILTER)).close()
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGSTOP)
        hanging = asyncio.create_task(broker.open(pod.sandbox(), SocketKind.NETFILTER))
        (await other.open(pod.sandbox(), SocketKind.NETFILTER)).close()
        with pytest.raises(BrokerLostError):
            await hanging
        (await broker.open(pod.sandbox(), SocketKind.NETFILTER)).close()
        assert (broker.starts, other.starts) == (2, 1)


async def test_processes_of_pods_are_read_through_the_broker(
    broker: Broker, pod: Pod, other_pod: Pod
) -> None:
    """One, or all of them; what is no pod's process is none."""
    found = await broker.process(pod.pid)
    assert found is not None
    assert (found.pod_uid, found.netns) == (pod.uid, pod.sandbox().netns)
    assert await broker.process(os.getpid()) is None
    assert await broker.process(2**22 + 1) is None
    uids = {process.pod_uid for process in await broker.pod_processes()}
    assert {pod.uid, other_pod.uid} <= uids


async def test_a_step_that_had_to_succeed_is_the_last(broker: Broker, pod: Pod) -> None:
    """What was to come after it is not done; a step that may fail stops nothing."""
    must, may = Execute(("false",), must_succeed=True), Execute(("false",))
    results = await broker.run(pod.sandbox(), may, must, Execute(("true",)))
    assert len(results) == 2
