"""The iptables backend and the reconciler against real namespaces."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from capture_agent.broker_client import Broker
from capture_agent.desired import Capture
from capture_agent.iptables_backend import LEGACY, NFT, IptablesBackend
from capture_agent.journal import Journal
from capture_agent.processes import netns_of
from capture_agent.reconciling import Reconciler
from capture_agent.records import PodRecord
from capture_agent.sandboxes import Sandbox
from capture_api.capture_programs import CaptureProgramSpec
from capture_api.captures import DriftPolicy, Mode
from capture_api.node_captures import DispatchedPod, PodState, ProgramRef
from capture_api.programs import (
    Inbound,
    InboundTerm,
    Loopback,
    Outbound,
    Program,
    Proxy,
    program_hash,
)
from capture_api.ports import PortRange
from capture_api.selection import LabelSelector
from kernel.pods import Pod, started_pod

REFERENCE = """\
-N ISTIO_INBOUND
-N ISTIO_IN_REDIRECT
-N ISTIO_OUTPUT
-N ISTIO_REDIRECT
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A OUTPUT -p tcp -j ISTIO_OUTPUT
-A ISTIO_INBOUND -p tcp -m tcp --dport 80 -j ISTIO_IN_REDIRECT
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15001
-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -j ISTIO_REDIRECT
-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
-A ISTIO_OUTPUT -j ISTIO_REDIRECT
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
"""


def program(prefix: str = "ISTIO", port: str = "80") -> Program:
    return Program(
        chain_prefix=prefix,
        proxy=Proxy(uids=(1337,), gids=(1337,)),
        inbound=Inbound(
            redirect_port=15001, include=(InboundTerm(ports=(PortRange.parse(port),)),)
        ),
        outbound=Outbound(redirect_port=15001, loopback=Loopback.REDIRECT),
    )


def capture(what: Program, **changes: object) -> Capture:
    values: dict[str, object] = {
        "schema_version": 1,
        "capture_uid": "6a3f0f6c-0000-4000-8000-000000000001",
        "capture_generation": 1,
        "selector": LabelSelector(),
        "priority": 0,
        "mode": Mode.ENFORCE,
        "suspend": False,
        "drift_policy": DriftPolicy.REPAIR,
        "program": what,
        "hash": program_hash(what),
    }
    return Capture(CaptureProgramSpec(**{**values, **changes}))  # type: ignore[arg-type]


@pytest.fixture
def pod() -> Iterator[Pod]:
    with started_pod() as pod:
        yield pod


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with Broker(netns_of(os.getpid())) as broker:
        yield broker


@pytest.fixture
def reconciler(broker: Broker, tmp_path: Path) -> Reconciler:
    now = iter(range(0, 100_000, 3600))
    return Reconciler(
        IptablesBackend(broker),
        Journal(tmp_path / "journal.json", "boot"),
        lambda: float(next(now)),
        lambda: "2026-01-01T00:00:00Z",
    )


def record_of(pod: Pod) -> PodRecord:
    ref = ProgramRef(name="web", capture_uid="u", generation=1, hash="h")
    return PodRecord(pod=DispatchedPod(uid=pod.uid, namespace="demo", name="web", program=ref))


async def test_the_reference_rules_come_out_byte_for_byte(pod: Pod, reconciler: Reconciler) -> None:
    after = await reconciler.capture(record_of(pod), capture(program()), pod.sandbox())
    assert after.finding.state is PodState.PROGRAMMED, after.finding
    listed = pod.run("iptables-nft", "-t", "nat", "-S")
    assert "".join(line for line in listed.splitlines(True) if line[1] != "P") == REFERENCE


async def test_a_pass_over_an_equal_state_writes_nothing(pod: Pod, reconciler: Reconciler) -> None:
    desired, sandbox = capture(program()), pod.sandbox()
    after = await reconciler.capture(record_of(pod), desired, sandbox)
    before = pod.run("nft", "-a", "list", "ruleset")
    await reconciler.capture(after, desired, sandbox)
    assert pod.run("nft", "-a", "list", "ruleset") == before


async def test_a_flush_is_seen_named_and_repaired(pod: Pod, reconciler: Reconciler) -> None:
    desired, sandbox = capture(program()), pod.sandbox()
    after = await reconciler.capture(record_of(pod), desired, sandbox)
    before = pod.run("iptables-nft", "-t", "nat", "-S")
    pod.run("iptables-nft", "-t", "nat", "-F")
    after = await reconciler.capture(after, desired, sandbox)
    assert (after.detected, after.repaired) == (1, 1)
    assert after.last_drift
    assert after.last_drift.kind == "Flushed"
    assert pod.run("iptables-nft", "-t", "nat", "-S") == before


async def test_release_leaves_nothing_of_ours(pod: Pod, reconciler: Reconciler) -> None:
    desired, sandbox = capture(program()), pod.sandbox()
    after = await reconciler.capture(record_of(pod), desired, sandbox)
    after = await reconciler.release(after, sandbox)
    assert after.held_by == ""
    assert pod.run("nft", "list", "ruleset").split() == "table ip nat { }".split()
