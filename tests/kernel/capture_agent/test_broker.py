"""The broker can be killed, stopped and abandoned; the agent goes on, and leaves no process."""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from capture_agent.broker_client import Broker, BrokerLostError, SandboxRefusedError, result_of
from capture_agent.broker_protocol import (
    MAX_OUTPUT,
    Execute,
    Executed,
    ListLegacyTables,
    Refusal,
    SocketKind,
)
from capture_agent.processes import netns_of
from capture_agent.tcp_sockets import tcp_listeners
from capture_agent.zygote_client import Zygote
from capture_nat.families import Family
from kernel.pods import Pod

TRUE = Execute(("true",))


def pid_of(broker: Broker) -> int:
    """PID of the running broker."""
    assert broker.pid is not None
    return broker.pid


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """A pipe with a name: opening it for reading waits for a step that opens it to write."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


async def in_step(fifo: Path) -> int:
    """Wait until a `signalling` step runs; the PID of its program."""
    return int(await asyncio.to_thread(fifo.read_text))


def signalling(fifo: Path) -> Execute:
    """Run a program that says its PID and then waits for ever."""
    return Execute(("sh", "-c", f"echo $$ > {fifo}; exec tail -f /dev/null"), timeout=60)


@contextlib.contextmanager
def pinned(*pids: int) -> Iterator[list[int]]:
    """Hold pidfds of processes."""
    pidfds = [os.pidfd_open(pid) for pid in pids]
    yield pidfds
    for pidfd in pidfds:
        os.close(pidfd)


def wait_until_ended(pidfds: list[int]) -> None:
    """Wait until every one of these processes has ended."""
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], 10)[0], "a process still runs"


def is_gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        os.close(os.pidfd_open(pid))
    except ProcessLookupError:
        return True
    return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()


async def test_a_broker_killed_in_a_request_is_lost_and_replaced(
    broker: Broker, pod: Pod, fifo: Path
) -> None:
    """What became of the request is unknown; the next one works."""
    request = asyncio.create_task(broker.run(pod.sandbox(), signalling(fifo)))
    program = await in_step(fifo)
    os.kill(pid_of(broker), signal.SIGKILL)
    with pytest.raises(BrokerLostError):
        await request
    assert is_gone(program), "what it ran must not go on writing"
    await broker.run(pod.sandbox(), TRUE)
    assert broker.starts == 2


async def test_a_broker_killed_between_requests_is_not_noticed(broker: Broker, pod: Pod) -> None:
    """The next request finds another one."""
    await broker.run(pod.sandbox(), TRUE)
    with pinned(pid_of(broker)) as killed:
        os.kill(pid_of(broker), signal.SIGKILL)
        wait_until_ended(killed)
    await broker.run(pod.sandbox(), TRUE)
    assert broker.starts == 2


async def test_a_broker_that_hangs_is_replaced(zygote: Zygote, pod: Pod) -> None:
    """Stopped in the middle of whatever."""
    async with Broker(zygote) as broker:
        await broker.run(pod.sandbox(), TRUE)
        stopped = pid_of(broker)
        os.kill(stopped, signal.SIGSTOP)
        broker._hang_seconds = 0.1
        with pytest.raises(BrokerLostError):
            await broker.run(pod.sandbox(), ListLegacyTables(Family.IPV4))
        assert is_gone(stopped)
        broker._hang_seconds = 10
        await broker.run(pod.sandbox(), TRUE)
        assert broker.starts == 2


async def test_a_step_gets_its_time_though_the_broker_may_not_hang(
    zygote: Zygote, pod: Pod
) -> None:
    """The limit of a request is that of its steps and some more."""
    async with Broker(zygote) as broker:
        await broker.run(pod.sandbox(), TRUE)
        broker._hang_seconds = 0.5
        await broker.run(pod.sandbox(), Execute(("sleep", "0.6"), timeout=30))
        assert broker.starts == 1


async def test_a_program_that_hangs_is_killed_and_the_broker_stays(
    broker: Broker, pod: Pod
) -> None:
    """It is a refusal like others."""
    with pytest.raises(SandboxRefusedError, match="timed out") as raised:
        await broker.run(pod.sandbox(), Execute(("sleep", "600"), timeout=0.1))
    assert raised.value.refusal is Refusal.STEP_FAILED
    await broker.run(pod.sandbox(), TRUE)
    assert broker.starts == 1


async def test_a_cancelled_request_does_not_answer_the_next(
    broker: Broker, pod: Pod, fifo: Path
) -> None:
    """Its program is gone, and the next request gets its own answer."""
    request = asyncio.create_task(broker.run(pod.sandbox(), signalling(fifo)))
    program = await in_step(fifo)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert is_gone(program)
    results = await broker.run(pod.sandbox(), Execute(("echo", "mine")))
    assert result_of(results, Executed).stdout == "mine\n"


async def test_a_program_that_prints_without_end_is_stopped(broker: Broker, pod: Pod) -> None:
    """Neither the broker nor the agent reads more than they can bear."""
    for step in (Execute(("yes",)), Execute(("sh", "-c", "yes >&2"))):
        with pytest.raises(SandboxRefusedError, match="printed more than"):
            await broker.run(pod.sandbox(), step)
    large = Execute(("head", "-c", str(MAX_OUTPUT - 1), "/dev/zero"))
    results = await broker.run(pod.sandbox(), large)
    assert len(result_of(results, Executed).stdout) == MAX_OUTPUT - 1
    assert broker.starts == 1


async def test_output_comes_as_it_was_printed(broker: Broker, pod: Pod) -> None:
    """Carriage returns are no newlines, and what is no UTF-8 is replaced."""
    results = await broker.run(pod.sandbox(), Execute(("printf", r"a\r\nb\rc\377\n")))
    assert result_of(results, Executed) == Executed(0, "a\r\nb\rc\N{REPLACEMENT CHARACTER}\n", "")


async def test_a_large_request_and_a_large_answer_pass(broker: Broker, pod: Pod) -> None:
    """Several times what a socket buffers."""
    text = "x" * 3_000_000
    results = await broker.run(pod.sandbox(), Execute(("cat",), text))
    assert result_of(results, Executed).stdout == text


@pytest.mark.parametrize("argv", [(), ("a\0b",), ("\N{SNOWMAN}" * 99,)])
async def test_a_step_that_makes_no_sense_is_a_refusal(
    broker: Broker, pod: Pod, argv: tuple[str, ...]
) -> None:
    """No exception of one pod's request ends the broker of all pods."""
    with pytest.raises(SandboxRefusedError) as raised:
        await broker.run(pod.sandbox(), Execute(argv))
    assert raised.value.refusal is Refusal.STEP_FAILED
    await broker.run(pod.sandbox(), TRUE)
    assert broker.starts == 1


async def test_a_missing_program_is_a_refusal(broker: Broker, pod: Pod) -> None:
    """With its name; the broker stays."""
    with pytest.raises(SandboxRefusedError, match="no-such-program"):
        await broker.run(pod.sandbox(), Execute(("no-such-program",)))
    assert broker.starts == 1


LISTEN = """
import socket, sys
sockets = [
    socket.create_server(("127.0.0.1", 15001)),
    socket.create_server(("::", 15006), family=socket.AF_INET6),
]
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server(pod: Pod) -> Iterator[None]:
    """Somebody who listens in the pod, on two addresses."""
    with subprocess.Popen(
        ["nsenter", "-t", str(pod.pid), "-n", sys.executable, "-c", LISTEN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        yield


@pytest.mark.usefixtures("server")
async def test_listeners_of_the_pod_are_listed(broker: Broker, pod: Pod) -> None:
    """Of the pod's namespace, with the address they are bound to."""
    opened = await broker.open(pod.sandbox(), SocketKind.SOCK_DIAG)
    found = {(each.address, each.port) for each in tcp_listeners(*opened.sockets)}
    opened.close()
    assert found == {("127.0.0.1", 15001), ("::", 15006)}


async def test_the_broker_ends_with_the_agents_block(zygote: Zygote, pod: Pod) -> None:
    """Also a stopped one."""
    for number in (None, signal.SIGSTOP):
        async with Broker(zygote) as broker:
            await broker.run(pod.sandbox(), TRUE)
            pid = pid_of(broker)
            if number is not None:
                os.kill(pid, number)
        assert is_gone(pid)


def test_a_killed_agent_leaves_no_process(pod: Pod, fifo: Path) -> None:
    """Neither zygote nor broker nor what it runs: the kernel ends them with their parents."""
    sandbox, host = pod.sandbox(), netns_of(os.getpid())
    agent = f"""
import asyncio, msgspec
from capture_agent.broker_client import Broker
from capture_agent.broker_protocol import Execute
from capture_agent.sandboxes import Sandbox
from capture_agent.zygote_client import started_zygote
from capture_api.node_captures import NetnsIdentity

async def main(zygote):
    broker = Broker(zygote)
    sandbox = msgspec.json.decode({msgspec.json.encode(sandbox)!r}, type=Sandbox)
    await broker.run(sandbox, Execute(("true",)))
    print(zygote.process.pid, broker.pid, flush=True)
    await broker.run(sandbox, Execute(("sh", "-c", "echo $$ > {fifo}; exec tail -f /dev/null")))

with started_zygote(NetnsIdentity(device={host.device}, inode={host.inode})) as zygote:
    asyncio.run(main(zygote))
"""
    with subprocess.Popen([sys.executable, "-c", agent], stdout=subprocess.PIPE) as process:
        assert process.stdout
        zygote, broker = map(int, process.stdout.readline().split())
        with pinned(zygote, broker, int(fifo.read_text())) as left:
            process.kill()
            wait_until_ended(left)
