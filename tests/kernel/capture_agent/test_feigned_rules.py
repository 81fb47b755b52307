"""Rules that iptables prints as ours and that do something else: no text of theirs is believed.

Whoever is root in a pod can make the kernel hold them; only the kernel's own records tell.
"""

from dataclasses import replace

import pytest

from capture_agent.netlink_views import NETLINK
from capture_agent.reconciling import Reconciler
from capture_agent.records import PodRecord
from capture_api.node_captures import PodState
from capture_nat.families import Family
from capture_nft.messages import append_rule, flush_chain
from capture_nft.reading import rule_of
from capture_nft.verdicts import Jump
from kernel.capture_agent import raw_chains
from kernel.capture_nft.channels import channel_in, commit
from kernel.conftest import NetworkNamespace
from kernel.pods import Pod
from unit.capture_agent.captures import capture, record

pytestmark = pytest.mark.parametrize("served_by", [NETLINK], indirect=True)

JUMP = "-A OUTPUT -p tcp -j ISTIO_OUTPUT"
REDIRECT = "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001"
IMPOSTOR = "REDIRECT --to-ports 15001"
SET = "tcp dport { 22, 23 }"
"""A set: iptables prints the rule without it."""


async def captured(pod: Pod, reconciler: Reconciler) -> PodRecord:
    """Bring the reference rules in."""
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    assert after.finding.state is PodState.PROGRAMMED, after.finding
    return after


async def test_a_chain_called_like_a_target_is_no_target(pod: Pod, reconciler: Reconciler) -> None:
    """A jump to `REDIRECT --to-ports 15001` redirects nothing; it is replaced."""
    after = await captured(pod, reconciler)
    before = pod.run("iptables-nft", "-t", "nat", "-S")
    raw_chains_in(pod, IMPOSTOR.encode())
    jump = replace(rule_of(REDIRECT), target=Jump(IMPOSTOR))
    with channel_in(NetworkNamespace(pod.pid)) as channel:
        commit(
            channel,
            flush_chain(Family.IPV4, "ISTIO_REDIRECT"),
            append_rule(Family.IPV4, "ISTIO_REDIRECT", jump),
        )
    assert REDIRECT in pod.run("iptables-nft", "-t", "nat", "-S")
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert (after.finding.state, after.repaired) == (PodState.PROGRAMMED, 1)
    assert after.last_drift
    assert after.last_drift.kind == "RuleChanged"
    assert "unreadable" in after.last_drift.found
    listed = pod.run("iptables-nft", "-t", "nat", "-S")
    assert listed.replace(f"-N {IMPOSTOR}\n", "") == before


async def test_a_jump_for_some_ports_is_not_our_jump(pod: Pod, reconciler: Reconciler) -> None:
    """Ours comes back; theirs stays where it is, as it is."""
    after = await captured(pod, reconciler)
    pod.run("iptables-nft", "-t", "nat", *JUMP.replace("-A", "-D", 1).split())
    pod.run("nft", "add", "rule", "ip", "nat", "OUTPUT", SET, "jump", "ISTIO_OUTPUT")
    theirs = [line for line in nft_rules(pod) if SET in line]
    assert JUMP in pod.run("iptables-nft", "-t", "nat", "-S")
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert (after.finding.state, after.repaired) == (PodState.PROGRAMMED, 1)
    assert after.last_drift
    assert after.last_drift.kind == "JumpMissing"
    assert [line for line in nft_rules(pod) if SET in line] == theirs
    assert pod.run("iptables-nft", "-t", "nat", "-S").count(JUMP) == 2
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert after.detected == 1
    await reconciler.release(after, pod.sandbox())
    assert [line for line in nft_rules(pod) if SET in line] == theirs


async def test_a_rule_for_some_ports_is_not_our_rule(pod: Pod, reconciler: Reconciler) -> None:
    """In a chain of ours it is replaced."""
    after = await captured(pod, reconciler)
    pod.run("nft", "flush", "chain", "ip", "nat", "ISTIO_INBOUND")
    pod.run("nft", "add", "rule", "ip", "nat", "ISTIO_INBOUND", SET, "jump", "ISTIO_IN_REDIRECT")
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert (after.finding.state, after.repaired) == (PodState.PROGRAMMED, 1)
    assert not [line for line in nft_rules(pod) if SET in line]


async def test_a_native_rule_in_a_chain_of_ours_is_replaced(
    pod: Pod, reconciler: Reconciler
) -> None:
    """Iptables can't print the table any more; that keeps nobody from mending what is ours."""
    after = await captured(pod, reconciler)
    pod.run("nft", "insert", "rule", "ip", "nat", "ISTIO_OUTPUT", "meta", "skuid", "0", "return")
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert (after.finding.state, after.repaired) == (PodState.PROGRAMMED, 1)
    assert after.last_drift
    assert after.last_drift.kind == "RuleInserted"


@pytest.mark.parametrize(
    "rule",
    [
        "tcp dport vmap { 80 : accept }",
        "oifname vmap { eth0 : accept }",
        "meta l4proto <= udp accept",
        "ip protocol < udp return",
        "meta l4proto tcp ip protocol < udp jump THEIRS",
    ],
)
async def test_a_rule_ahead_that_iptables_prints_as_harmless_is_not(
    pod: Pod, reconciler: Reconciler, rule: str
) -> None:
    """Without what decides in it, or as one for another protocol; our jump goes ahead of it."""
    after = await captured(pod, reconciler)
    pod.run("nft", "add chain ip nat THEIRS; add rule ip nat THEIRS accept")
    pod.run("nft", f"insert rule ip nat OUTPUT {rule}")
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert (after.finding.state, after.repaired) == (PodState.PROGRAMMED, 1)
    assert after.last_drift
    assert after.last_drift.kind == "JumpShadowed"
    assert after.last_drift.found.startswith("-A OUTPUT (more than iptables prints)")
    assert pod.run("iptables-nft", "-t", "nat", "-S", "OUTPUT").splitlines()[1] == JUMP
    assert (await reconciler.capture(after, capture(), pod.sandbox())).detected == 1


async def test_what_others_do_to_other_packets_is_no_shadow_however_they_say_it(
    pod: Pod, reconciler: Reconciler
) -> None:
    """Matches and targets that are not known here are what iptables prints."""
    after = await captured(pod, reconciler)
    for rule in (
        "-m recent --set",
        "-m limit --limit 5/min -j LOG --log-prefix x",
        "-p udp -m recent --rcheck -j ACCEPT",
        "-p tcp -m tcp --tcp-flags SYN,ACK SYN -j LOG",
        "-p udp -m pkttype --pkt-type unicast -j ACCEPT",
        "-p icmp -m icmp --icmp-type 8 -j ACCEPT",
    ):
        pod.run("iptables-nft", "-t", "nat", "-I", "OUTPUT", *rule.split())
    before = nft_rules(pod)
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert (after.finding.state, after.detected) == (PodState.PROGRAMMED, 0), after.last_drift
    assert nft_rules(pod) == before


async def adopted(pod: Pod, reconciler: Reconciler) -> PodRecord:
    """Have the reference rules written by somebody else, and adopted: their chains have no mark."""
    first = await captured(pod, reconciler)
    saved = pod.run("iptables-nft-save", "-t", "nat")
    await reconciler.release(first, pod.sandbox())
    pod.run("nft", "flush", "ruleset")
    pod.run("iptables-nft-restore", stdin=saved)
    return await captured(pod, reconciler)


async def test_a_rule_for_some_ports_in_an_adopted_chain_is_replaced(
    pod: Pod, reconciler: Reconciler
) -> None:
    """The tools, which are asked about it, print it without its set."""
    after = await adopted(pod, reconciler)
    before = pod.run("iptables-nft", "-t", "nat", "-S")
    pod.run("nft", "flush", "chain", "ip", "nat", "ISTIO_INBOUND")
    pod.run("nft", "add", "rule", "ip", "nat", "ISTIO_INBOUND", SET, "jump", "ISTIO_IN_REDIRECT")
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert (after.finding.state, after.repaired) == (PodState.PROGRAMMED, 1)
    assert pod.run("iptables-nft", "-t", "nat", "-S") == before
    assert not [line for line in nft_rules(pod) if SET in line]


async def test_a_native_rule_in_an_adopted_chain_is_reported_until_it_goes(
    pod: Pod, reconciler: Reconciler
) -> None:
    """The tools, which are asked about it, can't print the table any more."""
    after = await adopted(pod, reconciler)
    pod.run("nft", "insert", "rule", "ip", "nat", "ISTIO_OUTPUT", "meta", "skuid", "0", "return")
    before = nft_rules(pod)
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert (after.finding.state, after.finding.reason) == (PodState.FAILED, "TableUnreadable")
    assert nft_rules(pod) == before
    pod.run("nft", "flush", "chain", "ip", "nat", "ISTIO_OUTPUT")
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert (after.finding.state, after.repaired) == (PodState.PROGRAMMED, 1)


def raw_chains_in(pod: Pod, name: bytes) -> None:
    """Create a chain with any name."""
    pod.run("python3", raw_chains.__file__, name.hex(), "")


def nft_rules(pod: Pod) -> list[str]:
    """List the rules with their handles."""
    return [line.strip() for line in pod.run("nft", "-a", "list", "ruleset").splitlines()]
