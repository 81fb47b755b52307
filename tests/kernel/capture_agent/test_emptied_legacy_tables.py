"""A legacy table that others emptied is refilled, or given up if nothing of ours is left in it."""

from capture_agent.python_iptables_backend import LEGACY
from capture_agent.reconciling import Reconciler
from capture_api.node_captures import PodState
from kernel.pods import Pod
from unit.capture_agent.captures import capture, record


async def test_an_emptied_legacy_table_is_given_up(
    pod: Pod, reconciler: Reconciler, served_by: str
) -> None:
    """Nothing of anybody's is left in it, and nothing of ours comes back to it."""
    pod.run("iptables-legacy", "-t", "nat", "-A", "OUTPUT", "-p", "udp", "-j", "ACCEPT")
    sandbox = pod.sandbox()
    after = await reconciler.capture(record(), capture(), sandbox)
    pod.run("iptables-legacy", "-t", "nat", "-F")
    pod.run("iptables-legacy", "-t", "nat", "-X")
    after = await reconciler.capture(after, capture(), sandbox)
    assert (after.finding.state, after.backend) == (PodState.PROGRAMMED, served_by)
    assert (after.detected, after.repaired) == (1, 1)
    after = await reconciler.release(after, sandbox)
    assert pod.run("nft", "list", "ruleset").split() == ["table", "ip", "nat", "{", "}"]


async def test_a_flushed_legacy_table_is_refilled_where_it_is(
    pod: Pod, reconciler: Reconciler
) -> None:
    """Empty chains of ours keep the pod there: else they would be left behind for ever."""
    pod.run("iptables-legacy", "-t", "nat", "-A", "OUTPUT", "-p", "udp", "-j", "ACCEPT")
    sandbox = pod.sandbox()
    after = await reconciler.capture(record(), capture(), sandbox)
    pod.run("iptables-legacy", "-t", "nat", "-F")
    after = await reconciler.capture(after, capture(), sandbox)
    assert (after.backend, after.repaired) == (LEGACY, 1)
    assert pod.run("nft", "list", "ruleset") == ""
