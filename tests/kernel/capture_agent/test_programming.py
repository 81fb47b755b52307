"""Programs come into real namespaces, and leave them, as promised."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from capture_agent.broker_client import Broker
from capture_agent.iptables_backend import MARK, NFT, IptablesBackend
from capture_agent.journal import Journal
from capture_agent.nat_backends import BackendError, NatView
from capture_agent.python_iptables_backend import LEGACY
from capture_agent.reconciling import Reconciler
from capture_api.captures import Mode
from capture_api.node_captures import PodState
from capture_api.ports import PortRange
from capture_api.programs import Inbound, InboundTerm
from capture_nat.commands import Refill
from capture_nat.planning import Plan
from capture_nat.rulesets import Chain
from capture_nat.tables import NatTable
from kernel.capture_agent.single_tables import viewed, write
from kernel.pods import Pod
from reference_rules import REFERENCE_RULES
from unit.capture_agent.captures import capture, program, record

UNSEEN = NatView(NatTable(), frozenset(), NFT)
"""What a plan was made from that did not look first."""


def without_policies(listed: str) -> str:
    """Take the `-P` lines out of `iptables -S`."""
    return "".join(line for line in listed.splitlines(keepends=True) if line[1] != "P")


async def test_the_reference_rules_come_out_byte_for_byte(
    pod: Pod, reconciler: Reconciler, served_by: str
) -> None:
    """As istio-init wrote them."""
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    assert (after.finding.state, after.backend) == (PodState.PROGRAMMED, served_by)
    assert without_policies(pod.run("iptables-nft", "-t", "nat", "-S")) == REFERENCE_RULES


async def test_a_pass_over_an_equal_state_writes_nothing(pod: Pod, reconciler: Reconciler) -> None:
    """Handles and counters are the same afterwards."""
    sandbox = pod.sandbox()
    after = await reconciler.capture(record(), capture(), sandbox)
    before = pod.run("nft", "-a", "list", "ruleset")
    await reconciler.capture(after, capture(), sandbox)
    assert pod.run("nft", "-a", "list", "ruleset") == before


async def test_looking_changes_nothing(pod: Pod, reconciler: Reconciler) -> None:
    """No table is created, of either kind, in a pod that has none."""
    await reconciler.capture(record(), capture(mode=Mode.OBSERVE), pod.sandbox())
    await reconciler.release(record(), pod.sandbox())
    assert pod.run("nft", "list", "ruleset") == ""
    assert pod.run("cat", "/proc/thread-self/net/ip_tables_names") == ""


async def test_release_leaves_nothing_of_ours(pod: Pod, reconciler: Reconciler) -> None:
    """The base chains that we created go too; an empty table stays, it may be anybody's."""
    sandbox = pod.sandbox()
    after = await reconciler.capture(record(), capture(), sandbox)
    after = await reconciler.release(after, sandbox)
    assert after.held_by == ""
    assert pod.run("nft", "list", "ruleset").split() == ["table", "ip", "nat", "{", "}"]


async def test_a_base_chain_that_somebody_uses_stays(
    pod: Pod, reconciler: Reconciler, backend: IptablesBackend
) -> None:
    """Though we created it, and though the rule came after we looked."""
    sandbox = pod.sandbox()
    after = await reconciler.capture(record(), capture(), sandbox)
    pod.run("iptables-nft", "-t", "nat", "-A", "OUTPUT", "-p", "udp", "-j", "ACCEPT")
    await reconciler.release(after, sandbox)
    await write(backend, sandbox, UNSEEN, Plan(drop_if_empty=("OUTPUT", "PREROUTING")))
    assert without_policies(pod.run("iptables-nft", "-t", "nat", "-S")) == (
        "-A OUTPUT -p udp -j ACCEPT\n"
    )


async def test_marks_survive_a_flush_and_a_refill(pod: Pod, backend: IptablesBackend) -> None:
    """They alone tell a new agent with an empty journal what is ours."""
    sandbox = pod.sandbox()
    names = ("ISTIO_REDIRECT", "OUTPUT")
    refill = Refill(Chain("ISTIO_REDIRECT", ("-A ISTIO_REDIRECT -j RETURN",)))
    await write(backend, sandbox, UNSEEN, Plan(create=names))
    pod.run("iptables-nft", "-t", "nat", "-F")
    await write(backend, sandbox, UNSEEN, Plan(commands=(refill,)))
    view = await viewed(backend, sandbox)
    assert view.marked == set(names)
    assert view.table.rules("ISTIO_REDIRECT") == ("-A ISTIO_REDIRECT -j RETURN",)


async def test_a_new_agent_with_an_empty_journal_releases_by_the_marks(
    pod: Pod, reconciler: Reconciler, backend: IptablesBackend, tmp_path: Path
) -> None:
    """Its state directory was lost."""
    await reconciler.capture(record(), capture(), pod.sandbox())
    fresh = Reconciler(backend, Journal(tmp_path / "new.json", "b"), lambda: 0.0, lambda: 0.0)
    after = await fresh.release(record(), pod.sandbox())
    assert after.held_by == ""
    assert pod.run("nft", "list", "ruleset").split() == ["table", "ip", "nat", "{", "}"]


async def test_a_write_that_was_cut_short_is_completed(
    pod: Pod, reconciler: Reconciler, backend: IptablesBackend
) -> None:
    """Chains created and marked, nothing in them yet: that is no conflict and no drift."""
    names = ("ISTIO_INBOUND", "ISTIO_IN_REDIRECT", "ISTIO_OUTPUT", "ISTIO_REDIRECT", "OUTPUT")
    await write(backend, pod.sandbox(), UNSEEN, Plan(create=names))
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    assert (after.finding.state, after.detected) == (PodState.PROGRAMMED, 0)
    assert without_policies(pod.run("iptables-nft", "-t", "nat", "-S")) == REFERENCE_RULES


async def test_a_refused_transaction_leaves_empty_marked_chains_and_no_more(
    pod: Pod, backend: IptablesBackend
) -> None:
    """Nothing refers to them, so no packet notices."""
    bad = Refill(Chain("ISTIO_OUTPUT", ("-A ISTIO_OUTPUT -j NO_SUCH_TARGET",)))
    plan = Plan(create=("ISTIO_OUTPUT",), commands=(bad,))
    with pytest.raises(BackendError, match="iptables-nft-restore failed") as raised:
        await write(backend, pod.sandbox(), UNSEEN, plan)
    assert raised.value.reason == "WriteFailed"
    view = await viewed(backend, pod.sandbox())
    assert view.marked == {"ISTIO_OUTPUT"}
    assert set(view.table.chains) == {"ISTIO_OUTPUT"}


async def test_a_chain_that_somebody_created_since_we_looked_is_not_filled(
    pod: Pod, backend: IptablesBackend
) -> None:
    """It is theirs; the next look finds the conflict."""
    pod.run("iptables-nft", "-t", "nat", "-N", "ISTIO_OUTPUT")
    pod.run("iptables-nft", "-t", "nat", "-A", "ISTIO_OUTPUT", "-j", "ACCEPT")
    before = pod.run("nft", "-a", "list", "ruleset")
    refill = Refill(Chain("ISTIO_OUTPUT", ()))
    plan = Plan(create=("ISTIO_OUTPUT", "ISTIO_REDIRECT"), commands=(refill,))
    with pytest.raises(BackendError, match="nft failed"):
        await write(backend, pod.sandbox(), UNSEEN, plan)
    assert pod.run("nft", "-a", "list", "ruleset") == before


async def test_another_prefix_replaces_the_first(pod: Pod, reconciler: Reconciler) -> None:
    """Nothing of the first one is left."""
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    after = await reconciler.capture(after, capture(program("CAPTURE")), pod.sandbox())
    assert after.finding.state is PodState.PROGRAMMED
    listed = without_policies(pod.run("iptables-nft", "-t", "nat", "-S"))
    assert listed == REFERENCE_RULES.replace("ISTIO_", "CAPTURE_")


async def test_a_large_program_goes_through(pod: Pod, reconciler: Reconciler) -> None:
    """Requests and answers larger than a socket buffer."""
    terms = tuple(InboundTerm(ports=(PortRange(port, port),)) for port in range(20000, 20500))
    large = replace(program(), inbound=Inbound(redirect_port=15001, include=terms))
    after = await reconciler.capture(record(), capture(large), pod.sandbox())
    assert after.finding.state is PodState.PROGRAMMED


async def test_legacy_rules_are_served_where_they_are(
    pod: Pod, reconciler: Reconciler, broker: Broker
) -> None:
    """What init containers with legacy tools left is not put beside in another table."""
    foreign = ("-A", "OUTPUT", "-p", "udp", "-m", "comment", "--comment", "theirs", "-j", "ACCEPT")
    pod.run("iptables-legacy", "-t", "nat", *foreign)
    before = pod.run("iptables-legacy", "-t", "nat", "-S")
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    assert (after.finding.state, after.backend) == (PodState.PROGRAMMED, LEGACY)
    listed = without_policies(pod.run("iptables-legacy", "-t", "nat", "-S"))
    assert sorted(listed.splitlines()) == sorted([*REFERENCE_RULES.splitlines(), " ".join(foreign)])
    assert pod.run("nft", "list", "ruleset") == ""
    after = await reconciler.release(after, pod.sandbox())
    assert after.held_by == ""
    assert pod.run("iptables-legacy", "-t", "nat", "-S") == before
    assert broker.starts == 1


async def test_our_mark_is_what_nft_shows(pod: Pod, backend: IptablesBackend) -> None:
    """People find out with nft whose chain it is."""
    await write(backend, pod.sandbox(), UNSEEN, Plan(create=("ISTIO_OUTPUT",)))
    assert f'comment "{MARK}"' in pod.run("nft", "list", "ruleset")
