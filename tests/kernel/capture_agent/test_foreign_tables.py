"""Tables that others filled in ways that can't be read or served are left alone, and told."""

import json
import sys

import pytest

from capture_agent.broker_client import SandboxRefusedError
from capture_agent.broker_protocol import ListLegacyTables
from capture_agent.iptables_backend import MARK, IptablesBackend
from capture_agent.reconciling import Reconciler
from capture_agent.records import PodRecord
from capture_api.captures import Mode
from capture_api.node_captures import PodState
from capture_nat.families import Family
from kernel.capture_agent import raw_chains
from kernel.capture_agent.single_tables import viewed
from kernel.pods import Pod
from unit.capture_agent.captures import capture, record


def rulesets(pod: Pod) -> tuple[str, str]:
    """List everything in both tables, with handles."""
    legacy = "nat" in pod.run("cat", "/proc/thread-self/net/ip_tables_names").split()
    return (
        pod.run("nft", "-a", "list", "ruleset"),
        pod.run("iptables-legacy", "-t", "nat", "-S") if legacy else "",
    )


async def assert_left_alone(pod: Pod, reconciler: Reconciler, reason: str) -> PodRecord:
    """Capture and release: both fail with this reason, and nothing is written."""
    before = rulesets(pod)
    captured = await reconciler.capture(record(), capture(), pod.sandbox())
    released = await reconciler.release(record(), pod.sandbox())
    for after in (captured, released):
        assert (after.finding.state, after.finding.reason) == (PodState.FAILED, reason)
        assert after.held_by == ""
    assert rulesets(pod) == before
    return captured


async def test_rules_in_both_tables_are_a_conflict(pod: Pod, reconciler: Reconciler) -> None:
    """Whatever we wrote, somebody's rules would be dead; the message says what to do."""
    for tool in ("iptables-nft", "iptables-legacy"):
        pod.run(tool, "-t", "nat", "-A", "OUTPUT", "-p", "udp", "-j", "ACCEPT")
    after = await assert_left_alone(pod, reconciler, "BackendConflict")
    assert "iptables-legacy -t nat -F" in after.finding.message


async def test_a_table_with_native_nft_rules_is_unreadable(
    pod: Pod, reconciler: Reconciler
) -> None:
    """Iptables can't print it, so nothing may be concluded, and above all nothing overwritten."""
    native = """
    table ip nat {
        map ports { type inet_service : inet_service; elements = { 80 : 8080 } }
        chain OUTPUT {
            type nat hook output priority -100; policy accept;
            meta l4proto tcp redirect to :tcp dport map @ports
        }
    }
    """
    pod.run("nft", "-f", "-", stdin=native)
    await assert_left_alone(pod, reconciler, "TableUnreadable")


async def test_foreign_chains_of_our_names_are_a_conflict(pod: Pod, reconciler: Reconciler) -> None:
    """As istio-init would have left them; a release does not touch them either."""
    theirs = "*nat\n:ISTIO_OUTPUT - [0:0]\n-A ISTIO_OUTPUT -j RETURN\nCOMMIT\n"
    pod.run("iptables-nft-restore", stdin=theirs)
    before = rulesets(pod)
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    assert (after.finding.state, after.finding.reason) == (PodState.FAILED, "ChainConflict")
    assert (await reconciler.release(record(), pod.sandbox())).held_by == ""
    assert rulesets(pod) == before


async def test_istios_own_rules_are_adopted(pod: Pod, reconciler: Reconciler) -> None:
    """Equal to the plan to the last rule: nothing is written, and then they are ours."""
    first = await reconciler.capture(record(), capture(), pod.sandbox())
    saved = pod.run("iptables-nft-save", "-t", "nat")
    await reconciler.release(first, pod.sandbox())
    pod.run("nft", "flush", "ruleset")
    pod.run("iptables-nft-restore", stdin=saved)
    before = rulesets(pod)
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    assert after.finding.state is PodState.PROGRAMMED
    assert rulesets(pod) == before
    await reconciler.release(after, pod.sandbox())
    assert "ISTIO" not in rulesets(pod)[0]


async def test_a_table_of_hostile_size_is_refused(pod: Pod, tools: IptablesBackend) -> None:
    """Its pod is Failed; nobody reads what somebody else can make as long as they like."""
    rule = f"-A OUTPUT -p udp -m comment --comment {'x' * 200} -j RETURN\n"
    pod.run("iptables-nft-restore", stdin=f"*nat\n{rule * 20000}COMMIT\n")
    with pytest.raises(SandboxRefusedError, match="printed more than"):
        await viewed(tools, pod.sandbox())
    assert tools.broker.starts == 1


async def test_a_flooded_chain_of_ours_is_drift_and_repaired(
    pod: Pod, reconciler: Reconciler
) -> None:
    """With a status that stays small."""
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    flood = "-A ISTIO_OUTPUT -d 10.0.0.1/32 -j RETURN\n" * 5000
    pod.run("iptables-nft-restore", "--noflush", stdin=f"*nat\n{flood}COMMIT\n")
    after = await reconciler.capture(after, capture(), pod.sandbox())
    assert (after.finding.state, after.repaired) == (PodState.PROGRAMMED, 1)
    assert len(json.dumps(str(after.evidence()))) < 2000


async def test_comments_that_look_like_rules_are_comments(pod: Pod, reconciler: Reconciler) -> None:
    """Quotes, backslashes, newlines and bytes that are no UTF-8."""
    nasty = (
        b'*nat\n-A OUTPUT -p udp -m comment --comment "\xff\\"\\\\ \r COMMIT" -j RETURN\nCOMMIT\n'
    )
    pod.run("iptables-nft-restore", stdin=nasty.decode("latin-1"))
    pod.run("iptables-nft", "-t", "nat", "-A", "OUTPUT", "-p", "udp", "-m", "comment",
            "--comment", "x\n-A OUTPUT -j ISTIO_OUTPUT\nCOMMIT\n", "-j", "RETURN")  # fmt: skip
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    assert after.finding.state is PodState.PROGRAMMED, after.finding


def create_chain(pod: Pod, name: bytes, userdata: bytes) -> None:
    """Create a chain with any name and any user data."""
    pod.run("nft", "add", "table", "ip", "nat")
    pod.run(sys.executable, raw_chains.__file__, name.hex(), userdata.hex())


OUR_MARK = bytes([0, len(MARK) + 1]) + MARK.encode() + b"\0"


@pytest.mark.parametrize(
    "name", [b"--modprobe=/proc/self/root/x", b"-t", b"-X", b"FOREIGN", b"_OUTPUT", b"istio_OUTPUT"]
)
async def test_our_mark_on_their_chain_gets_no_command_run(
    pod: Pod, reconciler: Reconciler, name: bytes
) -> None:
    """A name that could be an option must never reach a command; the chain stays."""
    create_chain(pod, name, OUR_MARK)
    create_chain(pod, b"THEIRS", b"")
    before = rulesets(pod)
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    assert after.finding.state is PodState.PROGRAMMED
    after = await reconciler.release(after, pod.sandbox())
    assert after.held_by == ""
    assert rulesets(pod) == before


async def test_our_mark_on_a_chain_of_our_grammar_makes_it_ours(
    pod: Pod, reconciler: Reconciler
) -> None:
    """Who owns the pod may have its own chain deleted so, and nothing else."""
    create_chain(pod, b"OLD_OUTPUT", OUR_MARK)
    create_chain(pod, b"THEIRS_OUTPUT", b"")
    after = await reconciler.capture(record(), capture(), pod.sandbox())
    assert after.finding.state is PodState.PROGRAMMED
    listed = pod.run("iptables-nft", "-t", "nat", "-S")
    assert "OLD_OUTPUT" not in listed
    assert "-N THEIRS_OUTPUT" in listed


@pytest.mark.parametrize(
    ("name", "userdata"),
    [
        (b"A", b"\x00\x00\x01"),
        (b"A", b"\x07\x01x"),
        (b"A", b"\x00\xff"),
        (b"A", b"\x00\x02\xff\x00"),
        (b"A", b"\xff" * 200),
        (b"\xff\xfe", OUR_MARK),
        (b"a\nb", OUR_MARK),
        (b"a b", OUR_MARK),
        ("\u2028".encode(), OUR_MARK),
        (b"x" * 200, OUR_MARK),
    ],
)
async def test_no_chain_is_too_strange_for_the_broker(
    pod: Pod, reconciler: Reconciler, tools: IptablesBackend, name: bytes, userdata: bytes
) -> None:
    """Its pod may be Failed; the broker of all pods goes on, and nothing strange is written."""
    create_chain(pod, name, userdata)
    before = pod.run("iptables-nft", "-t", "nat", "-S")  # nft itself crashes on some of these
    after = await reconciler.capture(record(), capture(mode=Mode.OBSERVE), pod.sandbox())
    assert after.finding.state in {PodState.DRIFTED, PodState.FAILED}, after.finding
    after = await reconciler.release(record(), pod.sandbox())
    assert after.finding.state in {PodState.PROGRAMMED, PodState.FAILED}, after.finding
    assert after.finding.reason != "BrokerLost"
    assert pod.run("iptables-nft", "-t", "nat", "-S") == before
    await tools.broker.run(pod.sandbox(), ListLegacyTables(Family.IPV4))
    assert tools.broker.starts == 1
