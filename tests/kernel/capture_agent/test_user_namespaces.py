"""A pod with a user namespace of its own (`hostUsers: false`): its rules are written inside."""

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from capture_agent import legacy_lists
from capture_agent.broker_client import Broker, result_of
from capture_agent.broker_protocol import (
    LEGACY_LISTS,
    Execute,
    Executed,
    ListLegacyTables,
    SocketKind,
)
from capture_agent.legacy_lists import opened_lists
from capture_agent.legacy_tables import LISTS, LegacyTables
from capture_agent.reconciling import Reconciler
from capture_api.node_captures import PodState
from capture_nat.families import Family
from kernel.capture_agent.privileges import as_the_agent
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


async def test_such_a_pod_is_captured_by_the_tools(own_users: Pod, reconciler: Reconciler) -> None:
    """With the rules that let the proxy's own user pass."""
    sandbox = own_users.sandbox()
    with as_the_agent():
        after = await reconciler.capture(record(), capture(), sandbox)
    assert after.finding.state is PodState.PROGRAMMED, after.finding
    assert "--uid-owner 1337" in own_users.run("iptables-nft", "-t", "nat", "-S")


async def test_the_lists_of_legacy_tables_are_had_without_a_capability_for_it(
    broker: Broker, own_users: Pod
) -> None:
    """They are for root of that user namespace alone, and tell what is there later on too."""
    sandbox, there = own_users.sandbox(), Path(f"/proc/{own_users.pid}/net") / LISTS[Family.IPV4]
    with as_the_agent():
        with pytest.raises(PermissionError):
            there.read_bytes()
        opened = await broker.open(sandbox, *LEGACY_LISTS)
    with contextlib.closing(opened):
        legacy = LegacyTables(opened.legacy_lists)
        assert not legacy.has_nat(Family.IPV4)
        own_users.run("iptables-legacy", "-t", "nat", "-L")
        assert legacy.has_nat(Family.IPV4)
        assert not legacy.has_nat(Family.IPV6)


async def test_nothing_leaks_when_lists_are_opened_by_a_child(
    broker: Broker, own_users: Pod
) -> None:
    """Neither a descriptor of the broker nor a process."""
    sandbox = own_users.sandbox()
    (await broker.open(sandbox, *LEGACY_LISTS)).close()
    before = await left_by(broker)
    for _ in range(20):
        (await broker.open(sandbox, *SocketKind)).close()
        await broker.run(sandbox, ListLegacyTables(Family.IPV4))
    assert await left_by(broker) == before


async def left_by(broker: Broker) -> tuple[int, str]:
    """Count the broker's descriptors and list its children, zombies too."""
    await broker.process(1)  # the broker is done with the request before
    process = Path(f"/proc/{broker.pid}")
    children = process / "task" / str(broker.pid) / "children"
    return len(list((process / "fd").iterdir())), children.read_text()


def dies(_: int) -> None:
    """End before anything is said."""
    os._exit(0)


def hangs(_: int) -> None:
    """Wait for ever."""
    signal.pause()


def is_refused(_: int) -> None:
    """Be told by the kernel that it may not."""
    raise OSError(errno.EPERM, "setns")


@pytest.mark.parametrize(
    ("join", "number"),
    [(dies, errno.EPIPE), (hangs, errno.ETIMEDOUT), (is_refused, errno.EPERM)],
)
def test_a_child_that_fails_is_an_error_and_gone(
    monkeypatch: pytest.MonkeyPatch, join: Callable[[int], None], number: int
) -> None:
    """Whether it dies, hangs, or may not join."""
    monkeypatch.setattr(legacy_lists, "become_root_of", join)
    monkeypatch.setattr(legacy_lists, "SECONDS", 0.1 if join is hangs else 10.0)
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text()
    with pytest.raises(OSError, match="user namespace") as raised:
        opened_lists(Family, user_namespace=0)
    assert raised.value.errno == number
    assert children.read_text() == before
