"""Tampering in a real namespace is noticed, named, counted and repaired; foreign rules stay."""

from dataclasses import dataclass

import pytest

from capture_agent.iptables_backend import LEGACY, NFT
from capture_agent.reconciling import Reconciler
from capture_api.captures import DriftPolicy, Mode
from capture_api.node_captures import PodState
from kernel.pods import Pod
from unit.capture_agent.captures import capture, record

JUMP = "OUTPUT -p tcp -j ISTIO_OUTPUT"

FOREIGN = f"""\
*nat
:FOREIGN - [0:0]
-A PREROUTING -p udp -m comment --comment "foreign ahead" -j FOREIGN
-A FOREIGN -s 10.0.0.0/8 -m comment --comment "foreign \\"-A OUTPUT\\" COMMIT" -j RETURN
-A FOREIGN -m comment --comment "foreign {"ü" * 8}" -j RETURN
-A POSTROUTING -d 192.0.2.1/32 -m comment --comment "foreign last" -j ACCEPT
COMMIT
"""

TAMPERINGS = {
    "flush": ("Flushed", ["-F"]),
    "flush and delete": ("Flushed", ["-F", "-X"]),
    "rule deleted": ("RuleMissing", ["-D ISTIO_OUTPUT 2"]),
    "jump deleted": ("JumpMissing", [f"-D {JUMP}"]),
    "rule inserted": ("RuleInserted", ["-I ISTIO_OUTPUT 1 -d 10.0.0.1/32 -j RETURN"]),
    "rule appended": ("RuleInserted", ["-A ISTIO_OUTPUT -p tcp -j ACCEPT"]),
    "rule changed": (
        "RuleChanged",
        ["-R ISTIO_REDIRECT 1 -p tcp -j REDIRECT --to-ports 9999"],
    ),
    "rule duplicated": ("RuleDuplicated", ["-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN"]),
    "rules swapped": (
        "RuleReordered",
        ["-D ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN", "-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN"],
    ),
    "chain flushed": ("ChainFlushed", ["-F ISTIO_OUTPUT"]),
    "chain deleted": (
        "ChainMissing",
        ["-F ISTIO_INBOUND", "-F ISTIO_IN_REDIRECT", "-X ISTIO_IN_REDIRECT"],
    ),
    "jump duplicated": ("JumpDuplicated", [f"-A {JUMP}"]),
    "ACCEPT ahead": ("JumpShadowed", ["-I OUTPUT 1 -p tcp -j ACCEPT"]),
    "RETURN ahead": ("JumpShadowed", ["-I OUTPUT 1 -j RETURN"]),
    "chain ahead": (
        "JumpShadowed",
        ["-N AHEAD", "-A AHEAD -p tcp -j ACCEPT", "-I PREROUTING 1 -j AHEAD"],
    ),
}

EMPTIES = "flush and delete"
CASES = [(variant, name) for variant in (NFT, LEGACY) for name in TAMPERINGS]
# A legacy table with nothing in it is no reason any more to stay there: a test of its own.
CASES.remove((LEGACY, EMPTIES))


@dataclass(frozen=True)
class Tampered:
    """A pod with foreign rules in one of the two tables."""

    pod: Pod
    variant: str

    def do(self, *commands: str) -> None:
        """Run commands of iptables, as somebody in the pod would."""
        for command in commands:
            self.pod.run(self.variant, "-t", "nat", *command.split())

    def rules(self) -> str:
        """List the rules."""
        return self.pod.run(self.variant, "-t", "nat", "-S")

    def foreign(self) -> list[str]:
        """List what is not ours, with counters and handles: a rewritten rule would show."""
        listed = self.pod.run(f"{self.variant}-save", "-c", "-t", "nat")
        if self.variant == NFT:
            listed += self.pod.run("nft", "-a", "list", "table", "ip", "nat")
        lines = (line.strip() for line in listed.splitlines())
        return [line for line in lines if "foreign" in line.lower() or "AHEAD" in line]


@pytest.fixture(params=[NFT, LEGACY])
def tampered(pod: Pod, request: pytest.FixtureRequest) -> Tampered:
    """A pod in which somebody else has rules already."""
    pod.run(f"{request.param}-restore", stdin=FOREIGN)
    return Tampered(pod, request.param)


@pytest.mark.parametrize(("tampered", "tampering"), CASES, indirect=["tampered"])
async def test_tampering_is_noticed_named_counted_and_repaired(
    tampered: Tampered, reconciler: Reconciler, tampering: str
) -> None:
    """With the tools of the variant that serves the pod."""
    kind, commands = TAMPERINGS[tampering]
    sandbox = tampered.pod.sandbox()
    after = await reconciler.capture(record(), capture(), sandbox)
    assert (after.finding.state, after.backend) == (PodState.PROGRAMMED, tampered.variant)
    whole = {line for line in tampered.rules().splitlines() if "ISTIO" in line}
    tampered.do(*commands)
    foreign = tampered.foreign()
    assert foreign or tampering == EMPTIES
    after = await reconciler.capture(after, capture(), sandbox)
    assert after.finding.state is PodState.PROGRAMMED
    assert (after.detected, after.repaired) == (1, 1)
    assert after.last_drift
    assert after.last_drift.kind == kind
    assert {line for line in tampered.rules().splitlines() if "ISTIO" in line} == whole
    assert tampered.foreign() == foreign
    again = await reconciler.capture(after, capture(), sandbox)
    assert again.detected == 1


@pytest.mark.parametrize(
    "changes", [{"drift_policy": DriftPolicy.REPORT}, {"mode": Mode.OBSERVE}, {"suspend": True}]
)
async def test_drift_that_is_not_to_be_repaired_is_left_as_it_is(
    tampered: Tampered, reconciler: Reconciler, changes: dict[str, object]
) -> None:
    """Named and counted all the same."""
    sandbox = tampered.pod.sandbox()
    after = await reconciler.capture(record(), capture(), sandbox)
    tampered.do(f"-D {JUMP}")
    before = tampered.rules()
    for _ in range(2):
        after = await reconciler.capture(after, capture(None, **changes), sandbox)
    assert (after.finding.state, after.finding.reason) == (PodState.DRIFTED, "JumpMissing")
    assert (after.detected, after.repaired) == (1, 0)
    assert tampered.rules() == before


async def test_release_leaves_the_foreign_rules_bit_for_bit(
    tampered: Tampered, reconciler: Reconciler
) -> None:
    """Also after a repair."""
    before, foreign = tampered.rules(), tampered.foreign()
    sandbox = tampered.pod.sandbox()
    after = await reconciler.capture(record(), capture(), sandbox)
    tampered.do("-D ISTIO_OUTPUT 1")
    after = await reconciler.capture(after, capture(), sandbox)
    after = await reconciler.release(after, sandbox)
    assert after.held_by == ""
    assert (tampered.rules(), tampered.foreign()) == (before, foreign)


async def test_chains_in_use_by_foreign_rules_are_kept_empty(
    tampered: Tampered, reconciler: Reconciler
) -> None:
    """Until the rule that refers to them goes."""
    before, sandbox = tampered.rules(), tampered.pod.sandbox()
    after = await reconciler.capture(record(), capture(), sandbox)
    tampered.do("-A FOREIGN -p tcp -j ISTIO_REDIRECT")
    after = await reconciler.release(after, sandbox)
    assert after.finding.reason == "ChainReferenced"
    tampered.do("-D FOREIGN -p tcp -j ISTIO_REDIRECT")
    after = await reconciler.release(after, sandbox)
    assert after.held_by == ""
    assert tampered.rules() == before


async def test_an_emptied_legacy_table_is_given_up(pod: Pod, reconciler: Reconciler) -> None:
    """Nothing of anybody's is left in it, and nothing of ours comes back to it."""
    pod.run("iptables-legacy", "-t", "nat", "-A", "OUTPUT", "-p", "udp", "-j", "ACCEPT")
    sandbox = pod.sandbox()
    after = await reconciler.capture(record(), capture(), sandbox)
    pod.run("iptables-legacy", "-t", "nat", "-F")
    pod.run("iptables-legacy", "-t", "nat", "-X")
    after = await reconciler.capture(after, capture(), sandbox)
    assert (after.finding.state, after.backend) == (PodState.PROGRAMMED, NFT)
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
