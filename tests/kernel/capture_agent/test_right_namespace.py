"""The right namespace or none: claims that are not, or no longer, true are refused untouched."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from capture_agent.broker_client import Broker, SandboxRefusedError
from capture_agent.broker_protocol import Execute, ListLegacyTables, Refusal
from capture_agent.held_sandboxes import HeldSandboxes
from capture_agent.netns_entry import RefusedError, _verify
from capture_agent.node_view import NodeView
from capture_agent.processes import netns_of, pod_processes
from capture_agent.reconciling import Reconciler
from capture_agent.sandbox_finder import SandboxFinder
from capture_agent.sandboxes import Sandbox, find_sandboxes
from capture_api.node_captures import DispatchedPod, NetnsIdentity, PodState
from capture_nat.families import Family
from kernel.capture_agent.cables import cable_to_be_gone
from kernel.pods import ADDRESS, CGROUPS, MOVING, Pod, started_pod
from unit.capture_agent.captures import capture, record

WRITE = Execute(("iptables-nft", "-t", "nat", "-N", "WRITTEN"))


async def refused(broker: Broker, sandbox: Sandbox) -> Refusal:
    """Ask for a write where none may happen; the broker must be at home afterwards."""
    with pytest.raises(SandboxRefusedError) as raised:
        await broker.run(sandbox, WRITE)
    assert broker.pid is not None
    assert netns_of(broker.pid) == netns_of(os.getpid())
    return raised.value.refusal


def rules(pod: Pod) -> str:
    """List everything that is in a pod."""
    return pod.run("nft", "list", "ruleset")


async def test_a_true_claim_is_entered(broker: Broker, pod: Pod) -> None:
    """And only there something is written: the other tests would notice it here."""
    await broker.run(pod.sandbox(), WRITE)
    assert "WRITTEN" in rules(pod)
    assert broker.pid is not None
    assert netns_of(broker.pid) == netns_of(os.getpid())


async def test_a_process_that_ended_leads_nowhere(broker: Broker) -> None:
    """Between the discovery and the entry."""
    with started_pod() as pod:
        sandbox = pod.sandbox()
        pod.kill()
        assert await refused(broker, sandbox) is Refusal.SANDBOX_GONE


def become_zombie(pod: Pod) -> None:
    """End a process without taking its exit status."""
    pod.process.kill()
    os.waitid(os.P_PID, pod.pid, os.WEXITED | os.WNOWAIT)


async def test_a_dead_process_that_nobody_waited_for_leads_nowhere(broker: Broker) -> None:
    """A zombie has a PID, and no namespace."""
    with started_pod() as pod:
        sandbox = pod.sandbox()
        become_zombie(pod)
        assert await refused(broker, sandbox) is Refusal.SANDBOX_GONE


def test_what_was_read_under_a_reused_pid_does_not_count(
    pod: Pod, other_pod: Pod, host: NetnsIdentity
) -> None:
    """The pinned process has ended: whatever its PID leads to now is another one's."""
    pinned = os.pidfd_open(other_pod.pid)
    other_pod.kill()
    netns = Path(f"/proc/{pod.pid}/ns/net")
    with netns.open("rb") as opened, pytest.raises(RefusedError) as raised:
        _verify(pod.sandbox(), host, opened.fileno(), pinned)
    os.close(pinned)
    assert raised.value.refusal is Refusal.SANDBOX_GONE


FALSE_CLAIMS: dict[str, Callable[[Sandbox, Sandbox], Sandbox]] = {
    "the PID was reused by another process": lambda own, _: replace(
        own, start_time=own.start_time + 1
    ),
    "the PID was reused by another pod": lambda own, other: replace(
        other, pid=own.pid, start_time=own.start_time
    ),
    "another pod's UID": lambda own, other: replace(own, pod_uid=other.pod_uid),
    "another pod's namespace": lambda own, other: replace(own, netns=other.netns),
    "another device with this inode": lambda own, _: replace(
        own, netns=replace(own.netns, device=own.netns.device + 1)
    ),
}


@pytest.mark.parametrize("claim", FALSE_CLAIMS)
async def test_a_false_claim_is_refused(
    broker: Broker, pod: Pod, other_pod: Pod, claim: str
) -> None:
    """Whatever of it is false; both pods stay as they are."""
    sandbox = FALSE_CLAIMS[claim](pod.sandbox(), other_pod.sandbox())
    assert await refused(broker, sandbox) is Refusal.SANDBOX_CHANGED
    assert (rules(pod), rules(other_pod)) == ("", "")


async def test_a_process_that_moved_itself_is_refused(broker: Broker) -> None:
    """Its PID and start time are what they were; its namespace is not."""
    with started_pod(MOVING) as pod:
        sandbox = pod.sandbox()
        assert pod.process.stdin
        pod.process.stdin.write("move\n")
        pod.tell("moved")
        assert pod.sandbox().start_time == sandbox.start_time
        assert await refused(broker, sandbox) is Refusal.SANDBOX_CHANGED
        assert rules(pod) == ""


async def test_the_host_namespace_is_never_entered(broker: Broker, host: NetnsIdentity) -> None:
    """Not even for a claim that is true in every word, its address included."""
    with started_pod(own_netns=False) as pod:
        sandbox = pod.sandbox("127.0.0.1")
        assert sandbox.netns == host
        assert await refused(broker, sandbox) is Refusal.HOST_NETWORK


async def test_a_namespace_without_the_pods_address_is_not_the_pods(
    broker: Broker, pod: Pod
) -> None:
    """Its first process may have been started elsewhere."""
    assert await refused(broker, pod.sandbox("10.0.0.1")) is Refusal.ADDRESS_MISSING
    none = replace(pod.sandbox(), pod_ips=())
    assert await refused(broker, none) is Refusal.ADDRESS_MISSING
    assert rules(pod) == ""


async def test_a_forged_mirror_leads_to_nobody_elses_pod(
    broker: Broker, other_pod: Pod, host: NetnsIdentity
) -> None:
    """It may name any pod of the node: that one does not have the address that it has itself."""
    mirror = DispatchedPod(
        uid="forged",
        namespace="demo",
        name="forged",
        pod_ips=("10.0.0.1",),
        static_pod_uid=other_pod.uid,
    )
    held = HeldSandboxes(broker, lambda _: None, lambda _: None)
    finder = SandboxFinder(NodeView(broker, broker, held), host, time.monotonic, lambda _: None)
    sandbox = await finder.find(mirror)
    assert sandbox is not None
    assert sandbox.netns == other_pod.sandbox().netns
    assert await refused(broker, sandbox) is Refusal.ADDRESS_MISSING
    assert rules(other_pod) == ""


async def test_one_of_two_addresses_is_enough(broker: Broker, pod: Pod) -> None:
    """Of a dual-stack pod, before its second address is up."""
    await broker.run(pod.sandbox(ADDRESS, "fd00::1"), WRITE)
    assert "WRITTEN" in rules(pod)


async def test_a_refusal_is_a_finding_and_writes_nothing(
    pod: Pod, other_pod: Pod, reconciler: Reconciler
) -> None:
    """All the way through the reconciler."""
    claim = replace(pod.sandbox(), netns=other_pod.sandbox().netns)
    after = await reconciler.capture(record(), capture(), claim)
    assert (after.finding.state, after.finding.reason) == (PodState.PENDING, "SandboxChanged")
    assert after.held_by == ""
    assert (rules(pod), rules(other_pod)) == ("", "")


def test_the_scan_finds_pods_and_their_namespaces(
    pod: Pod, other_pod: Pod, host: NetnsIdentity
) -> None:
    """Among all processes of the machine; one in the host's namespace is no sandbox."""
    with started_pod(own_netns=False) as on_host:
        found = find_sandboxes(pod_processes(), host)
        assert found[pod.uid] == replace(pod.sandbox(), pod_ips=())
        assert found[other_pod.uid].netns == other_pod.sandbox().netns
        assert on_host.uid not in found


def test_the_oldest_process_wins_over_one_that_unshared(pod: Pod, host: NetnsIdentity) -> None:
    """A container with the right to do so can't lead us elsewhere."""
    cgroup = Path(f"/proc/{pod.pid}/cgroup").read_text()
    with started_pod() as elsewhere:
        move_to(cgroup, pod, elsewhere)
        found = find_sandboxes(pod_processes(), host)
        assert found[pod.uid].netns == pod.sandbox().netns != netns_of(elsewhere.pid)


def move_to(cgroup: str, pod: Pod, other: Pod) -> None:
    """Put the other's process into a pod's cgroup."""
    assert pod.uid in cgroup
    procs = CGROUPS / "kubepods" / f"pod{pod.uid}" / "c1" / "cgroup.procs"
    procs.write_text(str(other.pid))


async def test_a_dead_pods_namespace_is_freed(broker: Broker, other_pod: Pod) -> None:
    """Nobody of ours holds it: its end of a cable goes, and with it the other pod's."""
    with started_pod() as pod:
        there = ["type", "veth", "peer", "cable", "netns", str(other_pod.pid)]
        pod.run("ip", "link", "add", "cable", *there)
        for sandbox in (pod.sandbox(), other_pod.sandbox()):
            await broker.run(sandbox, WRITE, ListLegacyTables(Family.IPV4))
        with cable_to_be_gone(other_pod):
            pod.kill()
        assert await refused(broker, other_pod.sandbox("10.0.0.1")) is Refusal.ADDRESS_MISSING


async def test_the_broker_keeps_nothing_open(broker: Broker, pod: Pod) -> None:
    """Neither a descriptor nor a thread, however many requests there were, refused ones too."""
    sandbox = pod.sandbox()
    await broker.run(sandbox, WRITE)
    assert broker.pid is not None
    proc = Path(f"/proc/{broker.pid}")
    before = sorted(fd.name for fd in (proc / "fd").iterdir())
    for _ in range(20):
        await broker.run(sandbox, ListLegacyTables(Family.IPV4))
        await refused(broker, replace(sandbox, start_time=1))
    assert sorted(fd.name for fd in (proc / "fd").iterdir()) == before
    assert len(list((proc / "task").iterdir())) == 1
