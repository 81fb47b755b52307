"""A pod with a user namespace of its own (`hostUsers: false`): its rules are written inside."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from capture_agent.broker_client import Broker, result_of
from capture_agent.broker_protocol import Execute, Executed, SocketKind
from capture_agent.reconciling import Reconciler
from capture_api.node_captures import PodState
from kernel.pods import Pod, started_pod
from unit.capture_agent.captures import capture, record

OWNER_RULE = "-A OUTPUT -m owner --uid-owner 1337 -j RETURN"
RESTORE = Execute(
    ("iptables-nft-restore", "--noflush"), f"*nat\n{OWNER_RULE}\nCOMMIT\n", must_succeed=True
)


def namespace(pid: int, kind: str) -> str:
    """Name a namespace of a process."""
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


@pytest.fixture
def own_users() -> Iterator[Pod]:
    """A pod whose network namespace is owned by a user namespace of its own."""
    with started_pod(own_users=True) as pod:
        yield pod


async def test_a_rule_that_names_a_user_is_written(broker: Broker, own_users: Pod) -> None:
    """The kernel refuses it from any other user namespace."""
    with pytest.raises(AssertionError, match="Invalid argument"):
        own_users.run(*RESTORE.argv, stdin=RESTORE.stdin)
    result = result_of(await broker.run(own_users.sandbox(), RESTORE), Executed)
    assert result.returncode == 0, result.stderr
    assert OWNER_RULE in own_users.run("iptables-nft", "-t", "nat", "-S")


async def test_a_program_is_root_there_and_nothing_else(broker: Broker, own_users: Pod) -> None:
    """It joined the pod's user namespace; the broker itself did not."""
    step = Execute(("sh", "-c", "id -u; readlink /proc/self/ns/user /proc/self/ns/net"))
    result = result_of(await broker.run(own_users.sandbox(), step), Executed)
    there = [namespace(own_users.pid, kind) for kind in ("user", "net")]
    assert result.stdout.split() == ["0", *there]
    assert broker.pid is not None
    assert namespace(broker.pid, "user") == namespace(os.getpid(), "user")


async def test_who_opens_sockets_there_is_told(broker: Broker, own_users: Pod, pod: Pod) -> None:
    """So that a backend can choose who writes."""
    for sandbox, expected in ((own_users.sandbox(), True), (pod.sandbox(), False)):
        opened = await broker.open(sandbox, SocketKind.NETFILTER)
        with contextlib.closing(opened):
            assert opened.own_user_namespace is expected


async def test_such_a_pod_is_captured_by_the_tools(
    broker: Broker, own_users: Pod, reconciler: Reconciler
) -> None:
    """With the rules that let the proxy's own user pass."""
    del broker
    after = await reconciler.capture(record(), capture(), own_users.sandbox())
    assert after.finding.state is PodState.PROGRAMMED, after.finding
    assert "--uid-owner 1337" in own_users.run("iptables-nft", "-t", "nat", "-S")
