"""What the nf_tables backends do in tables that others set up, switched off or shadowed."""

from collections.abc import Iterator

import pytest

from capture_agent.iptables_backend import NFT
from capture_agent.nat_backends import NatBackend
from capture_agent.netlink_views import NETLINK
from capture_agent.nft_channel import NftChannel, TransactionRefusedError
from capture_agent.python_iptables_backend import LEGACY
from capture_agent.reconciling import Reconciler
from capture_api.node_captures import PodState
from capture_nft.transactions import Blob
from kernel.capture_agent.privileges import as_the_agent
from kernel.pods import ADDRESS, ADDRESS6, Pod, started_pod
from unit.capture_agent.captures import capture, record

LEFT_ALONE = {
    "another priority": "add chain ip nat OUTPUT { type nat hook output priority -99; }",
    "another hook": "add chain ip nat OUTPUT { type nat hook postrouting priority 100; }",
    "no base chain": "add chain ip nat OUTPUT",
    "a nat hook ahead": (
        "add table inet other; add chain inet other grab { type nat hook output priority -101; };"
        "add rule inet other grab tcp dport 80 redirect to :55"
    ),
}


def ruleset(pod: Pod) -> str:
    """List everything, with handles."""
    return pod.run("nft", "-a", "list", "ruleset")


@pytest.mark.parametrize("case", LEFT_ALONE)
async def test_what_keeps_our_rules_from_acting_is_told_and_nothing_is_written(
    pod: Pod, reconciler: Reconciler, case: str
) -> None:
    """Whatever the rules would look like."""
    pod.run("nft", f"add table ip nat; {LEFT_ALONE[case]}")
    before = ruleset(pod)
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    assert after.finding.state is PodState.FAILED
    assert after.finding.reason in {"BackendConflict", "TableUnreadable"}
    assert after.finding.message
    assert ruleset(pod) == before


async def test_a_foreign_table_that_is_switched_off_keeps_nobody_from_acting(
    pod: Pod, reconciler: Reconciler
) -> None:
    """No packet meets its chains; once it is switched on again, it is in the way again."""
    pod.run("nft", f"add table ip nat; {LEFT_ALONE['a nat hook ahead']}")
    pod.run("nft", "add table inet other { flags dormant; }")
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    assert after.finding.state is PodState.PROGRAMMED
    pod.run("nft", "add table inet other")
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert after.finding.reason == "BackendConflict"


async def test_a_table_that_was_switched_off_is_noticed_and_switched_on(
    pod: Pod, reconciler: Reconciler
) -> None:
    """Its rules look as they should; all keep their handles."""
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    before = ruleset(pod)
    pod.run("nft", "add table ip nat { flags dormant; }")
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert (after.finding.state, after.repaired) == (PodState.PROGRAMMED, 1)
    assert after.last_drift
    assert after.last_drift.kind == "TableDormant"
    assert ruleset(pod) == before


async def test_a_switched_off_table_with_missing_rules_is_mended_as_a_whole(
    pod: Pod, reconciler: Reconciler
) -> None:
    """At once."""
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    before = pod.run("iptables-nft", "-t", "nat", "-S")
    pod.run("nft", "add table ip nat { flags dormant; }; flush chain ip nat ISTIO_OUTPUT")
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert (after.finding.state, after.repaired) == (PodState.PROGRAMMED, 1)
    assert pod.run("iptables-nft", "-t", "nat", "-S") == before
    assert "dormant" not in ruleset(pod)


@pytest.mark.parametrize("tampering", [("-F",), ("-F", "ISTIO_OUTPUT")])
async def test_a_policy_of_others_is_kept(
    pod: Pod, reconciler: Reconciler, tampering: tuple[str, ...]
) -> None:
    """A new packet that we don't redirect is theirs to drop."""
    pod.run("iptables-nft", "-t", "nat", "-A", "OUTPUT", "-p", "udp", "-j", "ACCEPT")
    pod.run("nft", "chain ip nat OUTPUT { policy drop; }")
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    assert after.finding.state is PodState.PROGRAMMED
    pod.run("iptables-nft", "-t", "nat", *tampering)
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert (after.finding.state, after.repaired) == (PodState.PROGRAMMED, 1)
    await reconciler.release(after, pod.sandbox())
    assert "-P OUTPUT DROP" in pod.run("iptables-nft", "-t", "nat", "-S")


def legacy_rule(pod: Pod) -> None:
    """Put a rule into the legacy table."""
    pod.run("iptables-legacy", "-t", "nat", "-A", "OUTPUT", "-p", "udp", "-j", "ACCEPT")


async def test_a_legacy_table_beside_ours_is_a_conflict_and_repaired_when_it_goes(
    pod: Pod, reconciler: Reconciler, served_by: str
) -> None:
    """It came later, so its rules win; where that was seen, it is said."""
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    before = ruleset(pod)
    legacy_rule(pod)
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert (after.finding.state, after.finding.reason) == (PodState.FAILED, "BackendConflict")
    if served_by == NETLINK:
        assert "legacy table came later: its rules win" in after.finding.message
    assert ruleset(pod) == before
    pod.run("iptables-legacy", "-t", "nat", "-F")
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert (after.finding.state, after.backend) == (PodState.PROGRAMMED, served_by)


async def test_an_nft_table_that_came_after_legacy_rules_is_told(
    pod: Pod, reconciler: Reconciler, served_by: str
) -> None:
    """The other way round."""
    legacy_rule(pod)
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    assert after.backend == LEGACY
    pod.run("iptables-nft", "-t", "nat", "-A", "OUTPUT", "-p", "udp", "-j", "ACCEPT")
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert after.finding.reason == "BackendConflict"
    if served_by == NETLINK:
        assert "nf_tables table came later: its rules win" in after.finding.message


@pytest.fixture
def own_users() -> Iterator[Pod]:
    """A pod whose network namespace is owned by a user namespace of its own."""
    with started_pod(own_users=True) as pod:
        yield pod


@pytest.mark.parametrize("served_by", [NETLINK], indirect=True)
async def test_a_pod_with_users_of_its_own_is_read_here_and_written_there(
    own_users: Pod, reconciler: Reconciler, backend: NatBackend
) -> None:
    """The status says who wrote, and why; an undisturbed pod is told as cheaply as any other."""
    sandbox = own_users.sandbox(ADDRESS, ADDRESS6)
    with as_the_agent():
        after = await reconciler.capture(record(), capture(), sandbox)
        assert (after.finding.state, after.backend) == (PodState.PROGRAMMED, NFT)
        assert after.evidence().backend_reason == "the pod has a user namespace of its own"
        assert backend.is_unchanged(sandbox)
        own_users.run("ip6tables-nft", "-t", "nat", "-F", "ISTIO_OUTPUT")
        assert not backend.is_unchanged(sandbox)
        after = await reconciler.capture(after, capture(), sandbox)
    assert (after.finding.state, after.repaired) == (PodState.PROGRAMMED, 1)


@pytest.fixture
def without_owner_match(monkeypatch: pytest.MonkeyPatch) -> None:
    """Play a kernel that takes no transaction of ours: it has no such match."""

    def refuse(self: NftChannel, blob: Blob, generation: int) -> int:
        del self, blob, generation
        raise TransactionRefusedError(2, "-m owner")

    monkeypatch.setattr(NftChannel, "commit", refuse)


@pytest.mark.usefixtures("without_owner_match")
@pytest.mark.parametrize("served_by", [NETLINK], indirect=True)
async def test_what_the_kernel_refuses_is_left_to_the_tools(
    pod: Pod, reconciler: Reconciler
) -> None:
    """They may know another way; the status says why they serve."""
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    assert (after.finding.state, after.backend) == (PodState.PROGRAMMED, NFT)
    assert "-m owner" in after.evidence().backend_reason
