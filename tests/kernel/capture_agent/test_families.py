"""A pod of two families holds twins of every rule; each table is a matter of its own."""

import pytest
from msgspec.structs import replace

from capture_agent.reconciling import Reconciler
from capture_api.node_captures import PodState
from capture_api.programs import IpFamily, Program
from kernel.pods import ADDRESS, ADDRESS6, Pod
from unit.capture_agent.captures import capture, program, record

BOTH = (IpFamily.IPV4, IpFamily.IPV6)


def rules(pod: Pod, tool: str) -> str:
    """List our rules in one of the tables."""
    listed = pod.run(tool, "-t", "nat", "-S").splitlines()
    return "\n".join(line for line in listed if not line.startswith("-P"))


def in_families(*families: IpFamily) -> Program:
    """Build the reference program for some families."""
    return replace(program(), ip_families=families)


async def test_a_pod_of_both_families_holds_twins(
    pod: Pod, reconciler: Reconciler, served_by: str
) -> None:
    """The same rules, each with the loopback address of its family."""
    sandbox = pod.sandbox(ADDRESS, ADDRESS6)
    after = await reconciler.capture(record(), capture(), sandbox)
    assert (after.finding.state, after.backend) == (PodState.PROGRAMMED, served_by)
    assert after.held_families == BOTH
    ipv4, ipv6 = rules(pod, "iptables-nft"), rules(pod, "ip6tables-nft")
    assert "REDIRECT" in ipv4
    assert ipv6 == ipv4.replace("127.0.0.1/32", "::1/128")
    after = await reconciler.release(after, sandbox)
    assert after.held_by == ""
    listed = pod.run("nft", "list", "ruleset").split()
    assert listed == ["table", "ip", "nat", "{", "}", "table", "ip6", "nat", "{", "}"]


@pytest.mark.parametrize(
    ("address", "held", "empty"),
    [(ADDRESS, IpFamily.IPV4, "ip6tables-nft"), (ADDRESS6, IpFamily.IPV6, "iptables-nft")],
)
async def test_a_pod_of_one_family_holds_rules_in_that_one(
    pod: Pod, reconciler: Reconciler, address: str, held: IpFamily, empty: str
) -> None:
    """Whichever it is."""
    after = await reconciler.capture(record(), capture(), pod.sandbox(address))
    assert after.finding.state is PodState.PROGRAMMED
    assert after.held_families == (held,)
    assert rules(pod, empty) == ""


async def test_a_family_that_the_capture_gives_up_is_released(
    pod: Pod, reconciler: Reconciler
) -> None:
    """And taken up again, without touching the other: its rules keep their handles."""
    sandbox = pod.sandbox(ADDRESS, ADDRESS6)
    after = await reconciler.capture(record(), capture(), sandbox)
    before = pod.run("nft", "-a", "list", "table", "ip", "nat")
    after = await reconciler.capture(after, capture(in_families(IpFamily.IPV4)), sandbox)
    assert (after.finding.state, after.held_families) == (PodState.PROGRAMMED, (IpFamily.IPV4,))
    assert rules(pod, "ip6tables-nft") == ""
    after = await reconciler.capture(after, capture(in_families(*BOTH)), sandbox)
    assert after.held_families == BOTH
    assert after.detected == 0
    assert pod.run("nft", "-a", "list", "table", "ip", "nat") == before


async def test_a_pod_without_an_address_of_the_families_is_not_applicable(
    pod: Pod, reconciler: Reconciler
) -> None:
    """There is nothing that could be redirected."""
    desired = capture(in_families(IpFamily.IPV6))
    after = await reconciler.capture(record(), desired, pod.sandbox(ADDRESS))
    assert (after.finding.state, after.finding.reason) == (
        PodState.NOT_APPLICABLE,
        "NoAddressInFamilies",
    )
    assert pod.run("nft", "list", "ruleset") == ""


async def test_a_family_that_fails_is_named_and_the_other_is_captured_and_kept(
    pod: Pod, reconciler: Reconciler
) -> None:
    """Nothing of ours is in the table that can't be read; drift in the other one is repaired."""
    pod.run("nft", "add", "table", "ip6", "nat")
    base = "{ type nat hook output priority -100; }"
    pod.run("nft", "add", "chain", "ip6", "nat", "OUTPUT", base)
    pod.run("nft", "add", "rule", "ip6", "nat", "OUTPUT", "tcp dport { 22, 23 } redirect to :24")
    theirs = pod.run("nft", "-a", "list", "table", "ip6", "nat")
    sandbox = pod.sandbox(ADDRESS, ADDRESS6)
    after = await reconciler.capture(record(), capture(), sandbox)
    assert (after.finding.state, after.finding.reason) == (PodState.FAILED, "TableUnreadable")
    assert after.finding.message.startswith("IPv6: ")
    assert after.held_families == (IpFamily.IPV4,)
    whole = rules(pod, "iptables-nft")
    for times in (1, 2):
        pod.run("iptables-nft", "-t", "nat", "-F")
        after = await reconciler.capture(after, capture(), sandbox)
        assert (after.detected, after.repaired) == (times, times)
        assert rules(pod, "iptables-nft") == whole
    assert pod.run("nft", "-a", "list", "table", "ip6", "nat") == theirs
    pod.run("nft", "delete", "table", "ip6", "nat")
    after = await reconciler.capture(after, capture(), sandbox)
    assert (after.finding.state, after.held_families) == (PodState.PROGRAMMED, BOTH)


async def test_drift_names_the_family_that_it_is_in(pod: Pod, reconciler: Reconciler) -> None:
    """The other family's rules are not rewritten for it."""
    sandbox = pod.sandbox(ADDRESS, ADDRESS6)
    after = await reconciler.capture(record(), capture(), sandbox)
    before = pod.run("nft", "-a", "list", "table", "ip", "nat")
    pod.run("ip6tables-nft", "-t", "nat", "-F", "ISTIO_OUTPUT")
    after = await reconciler.capture(after, capture(), sandbox)
    assert after.last_drift
    assert (after.last_drift.kind, after.last_drift.ip_family) == ("ChainFlushed", IpFamily.IPV6)
    assert (after.detected, after.repaired) == (1, 1)
    assert pod.run("nft", "-a", "list", "table", "ip", "nat") == before
