"""What becomes of connections that began before the capture of a running pod."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import pytest
from msgspec.structs import replace

from capture_agent.broker_client import Broker
from capture_agent.flow_resets import FlowResetter
from capture_agent.kept_flows import FlowKeeper
from capture_agent.reconciling import Reconciler
from capture_api.node_captures import PodState
from capture_api.programs import Inbound, Outbound, Program, Proxy
from capture_api.wire import encode
from kernel.conftest import NetworkNamespace, network_namespace
from kernel.pods import ADDRESS, ADDRESS6, Pod
from unit.capture_agent.captures import capture, record

PROGRAM = Program(
    chain_prefix="CAPTURE",
    proxy=Proxy(uids=(1337,), gids=()),
    inbound=Inbound(redirect_port=15006),
    outbound=Outbound(redirect_port=15001),
)
PEERS = ("10.8.0.2", "fd00:8::2", "::ffff:10.8.0.2")

ECHO = """
import socket, sys
port = int(sys.argv[1])
with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) as server:
    print("up", flush=True)
    connection, _ = server.accept()
    with connection:
        while said := connection.recv(100):
            connection.sendall(said)
"""
TALK = """
import os, socket, sys
address, port, user = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.seteuid(user)
connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
os.seteuid(0)
connection.settimeout(10)
connection.connect((address, port))
for line in sys.stdin:
    try:
        connection.sendall(line.encode())
        print(connection.recv(100).decode().strip() or "ended", flush=True)
    except ConnectionError:
        print("ended", flush=True)
"""


@dataclass(frozen=True, slots=True)
class Talk:
    """One end of a connection, whose other end echoes."""

    process: subprocess.Popen[str]

    def says(self, word: str) -> str:
        """Send a word and give the echo, or `ended`."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@contextlib.contextmanager
def running(pid: int, script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a script in the network namespace of a process for the block."""
    argv = ["nsenter", "-t", str(pid), "-n", sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def echoing(pid: int, port: int) -> Iterator[None]:
    """Echo what one connection says."""
    with running(pid, ECHO, port) as server:
        assert server.stdout
        assert server.stdout.readline() == "up\n"
        yield


@contextlib.contextmanager
def talking(pid: int, address: str, port: int, user: int = 0) -> Iterator[Talk]:
    """Have a connection that is known to work."""
    with running(pid, TALK, address, port, user) as client:
        talk = Talk(client)
        assert talk.says("before") == "before"
        yield talk


@pytest.fixture
def peer(pod: Pod) -> Iterator[NetworkNamespace]:
    """Another host, on a cable with the pod."""
    with network_namespace() as other:
        ends = ("dev", "eth0")
        pod.run(
            "ip", "link", "add", "eth0", "type", "veth", "peer", "eth0", "netns", str(other.pid)
        )
        for number, run in ((1, pod.run), (2, other.run)):
            run("ip", "address", "add", f"10.8.0.{number}/24", *ends)
            run("ip", "address", "add", f"fd00:8::{number}/64", *ends, "nodad")
            run("ip", "link", "set", "eth0", "up")
        yield other


@pytest.fixture
def keeping(reconciler: Reconciler, broker: Broker) -> Reconciler:
    """A reconciler that keeps connections, as the agent's does."""
    return Reconciler(
        reconciler.backend,
        reconciler.journal,
        reconciler.monotonic,
        reconciler.wall,
        FlowKeeper(broker).keep,
    )


async def bring_in(reconciler: Reconciler, pod: Pod, program: Program = PROGRAM) -> None:
    """Capture a pod in both families."""
    sandbox = pod.sandbox(ADDRESS, ADDRESS6)
    after = await reconciler.capture(record(), capture(program), sandbox)
    assert (after.finding.state, after.finding.reason) == (PodState.PROGRAMMED, "")


@pytest.mark.parametrize("address", PEERS)
async def test_what_the_pod_began_lives_on(
    pod: Pod, peer: NetworkNamespace, keeping: Reconciler, address: str
) -> None:
    """Though the pod had no rules, so that nothing tracked its connections."""
    with echoing(peer.pid, 9000), talking(pod.pid, address, 9000) as talk:
        await bring_in(keeping, pod)
        assert talk.says("after") == "after"


async def test_what_the_pod_accepted_lives_on(
    pod: Pod, peer: NetworkNamespace, keeping: Reconciler
) -> None:
    """The first word afterwards comes from outside."""
    with echoing(pod.pid, 80), talking(peer.pid, "10.8.0.1", 80) as talk:
        await bring_in(keeping, pod)
        assert talk.says("after") == "after"


async def test_without_being_kept_a_connection_would_end(
    pod: Pod, peer: NetworkNamespace, reconciler: Reconciler
) -> None:
    """What the keeping is for."""
    with echoing(peer.pid, 9000), talking(pod.pid, "10.8.0.2", 9000) as talk:
        await bring_in(reconciler, pod)
        assert talk.says("after") == "ended"


@pytest.mark.parametrize("address", PEERS)
async def test_reset_ends_what_the_pod_began(
    pod: Pod, peer: NetworkNamespace, keeping: Reconciler, broker: Broker, address: str
) -> None:
    """But for the proxy's own, and what stays within the pod."""
    with (
        echoing(peer.pid, 9000),
        echoing(peer.pid, 9001),
        echoing(pod.pid, 9002),
        talking(pod.pid, address, 9000) as talk,
        talking(pod.pid, address, 9001, user=1337) as proxy,
        talking(pod.pid, ADDRESS, 9002) as within,
    ):
        await bring_in(keeping, pod)
        await FlowResetter(broker).reset(pod.sandbox(), PROGRAM)
        assert talk.says("after") == "ended"
        assert proxy.says("after") == "after"
        assert within.says("after") == "after"


async def test_reset_ends_what_the_pod_accepted(
    pod: Pod, peer: NetworkNamespace, keeping: Reconciler, broker: Broker
) -> None:
    """Its caller has to connect anew."""
    with echoing(pod.pid, 80), talking(peer.pid, "10.8.0.1", 80) as talk:
        await bring_in(keeping, pod)
        await FlowResetter(broker).reset(pod.sandbox(), PROGRAM)
        assert talk.says("after") == "ended"


async def test_reset_leaves_what_is_not_redirected(
    pod: Pod, peer: NetworkNamespace, keeping: Reconciler, broker: Broker
) -> None:
    """The program captures nothing that the pod began."""
    program = replace(PROGRAM, outbound=None)
    with echoing(peer.pid, 9000), talking(pod.pid, "10.8.0.2", 9000) as talk:
        await bring_in(keeping, pod, program)
        await FlowResetter(broker).reset(pod.sandbox(), program)
        assert talk.says("after") == "after"


async def test_reset_leaves_what_is_captured_already(
    pod: Pod, peer: NetworkNamespace, keeping: Reconciler, broker: Broker
) -> None:
    """At either end: to the application it looks like a connection to the peer."""
    await bring_in(keeping, pod)
    with (
        echoing(pod.pid, 15001),
        echoing(pod.pid, 15006),
        talking(pod.pid, "10.8.0.2", 9000) as sent,
        talking(peer.pid, "10.8.0.1", 80) as received,
    ):
        await FlowResetter(broker).reset(pod.sandbox(), PROGRAM)
        assert sent.says("after") == "after"
        assert received.says("after") == "after"


WITHOUT_DESTROY = """
import errno
from capture_agent import reset_flows
def refused(*_):
    raise OSError(errno.EOPNOTSUPP, "no INET_DIAG_DESTROY")
reset_flows.acknowledged = refused
reset_flows.main()
"""


@pytest.mark.parametrize("address", PEERS)
async def test_where_no_socket_can_be_ended_its_next_packet_meets_the_rules(
    pod: Pod, peer: NetworkNamespace, keeping: Reconciler, address: str
) -> None:
    """A kernel without INET_DIAG_DESTROY: connection tracking forgets the connection."""
    with echoing(peer.pid, 9000), talking(pod.pid, address, 9000) as talk:
        await bring_in(keeping, pod)
        told = msgspec.json.encode(encode(PROGRAM)).decode()
        assert pod.run(sys.executable, "-c", WITHOUT_DESTROY, stdin=told) == "1\n"
        assert talk.says("after") == "ended"
