"""Tampering in a real namespace is noticed, named, counted and repaired; foreign rules stay."""

import itertools
import re
from dataclasses import dataclass

import pytest

from capture_agent.iptables_backend import NFT
from capture_agent.python_iptables_backend import LEGACY
from capture_agent.reconciling import Reconciler
from capture_agent.sandboxes import Sandbox
from capture_api.captures import DriftPolicy, Mode
from capture_api.node_captures import PodState
from capture_nat.families import Family
from kernel.pods import ADDRESS, ADDRESS6, Pod
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

THEIRS = re.compile("foreign|AHEAD|ELSEWHERE|(-A |:|chain )RENAMED", re.IGNORECASE)
"""What is in a line that is not ours, whatever it refers to."""

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
    "port replaced": (
        "RuleChanged",
        [
            "-R ISTIO_INBOUND 1 -p tcp -m tcp --dport 81 -j ISTIO_IN_REDIRECT",
        ],
    ),
    "rules appended elsewhere": (
        "JumpMissing",
        [f"-D {JUMP}", "-N ELSEWHERE", "-A ELSEWHERE -p tcp -j ISTIO_OUTPUT"],
    ),
    "jump moved behind": ("JumpShadowed", [f"-D {JUMP}", "-A OUTPUT -j ACCEPT", f"-A {JUMP}"]),
    "chain renamed": ("ChainMissing", ["-E ISTIO_REDIRECT RENAMED"]),
    "jump led elsewhere": (
        "JumpMissing",
        [f"-D {JUMP}", "-A OUTPUT -p tcp -m comment --comment ELSEWHERE -j ISTIO_INBOUND"],
    ),
    "RETURN for the proxy's neighbour": (
        "RuleInserted",
        ["-I ISTIO_OUTPUT 1 -m owner --uid-owner 1000 -j RETURN"],
    ),
    "chain ahead": (
        "JumpShadowed",
        ["-N AHEAD", "-A AHEAD -p tcp -j ACCEPT", "-I PREROUTING 1 -j AHEAD"],
    ),
}

EMPTIES = "flush and delete"
PLACES = list(itertools.product((NFT, LEGACY), Family))
CASES = [
    (place, name)
    for place in PLACES
    for name in TAMPERINGS
    # A legacy table with nothing in it is no reason any more to stay there: a test of its own.
    if (place[0], name) != (LEGACY, EMPTIES)
]
IN_IPV6 = {
    "127.0.0.1/32": "::1/128",
    "10.0.0.0/8": "fd00::/8",
    "10.0.0.1/32": "fd00::1/128",
    "192.0.2.1/32": "2001:db8::1/128",
}
"""The addresses of this file, in the other family."""


@dataclass(frozen=True)
class Tampered:
    """A pod with an address and foreign rules in one of the four tables."""

    pod: Pod
    variant: str
    family: Family

    @property
    def sandbox(self) -> Sandbox:
        """The pod's sandbox, with an address of the family alone."""
        return self.pod.sandbox(ADDRESS if self.family is Family.IPV4 else ADDRESS6)

    @property
    def tool(self) -> str:
        """The command that lists and changes the table."""
        return self.variant if self.family is Family.IPV4 else self.variant.replace("ip", "ip6", 1)

    def do(self, *commands: str) -> None:
        """Run commands of iptables, as somebody in the pod would."""
        for command in commands:
            self.pod.run(self.tool, "-t", "nat", *self.translated(command).split())

    def translated(self, text: str) -> str:
        """Write addresses as the family has them."""
        for address, in_ipv6 in IN_IPV6.items():
            if self.family is Family.IPV6:
                text = text.replace(address, in_ipv6)
        return text

    def rules(self) -> str:
        """List the rules."""
        return self.pod.run(self.tool, "-t", "nat", "-S")

    def foreign(self) -> list[str]:
        """List what is not ours, with counters and handles: a rewritten rule would show."""
        listed = self.pod.run(f"{self.tool}-save", "-c", "-t", "nat")
        if self.variant == NFT:
            table = "ip" if self.family is Family.IPV4 else "ip6"
            listed += self.pod.run("nft", "-a", "list", "table", table, "nat")
        lines = (line.strip() for line in listed.splitlines())
        return [line for line in lines if THEIRS.search(line)]

    def ours(self) -> set[str]:
        """List our chains and rules."""
        lines = self.rules().splitlines()
        return {line for line in lines if "ISTIO" in line and not THEIRS.search(line)}


@pytest.fixture(params=PLACES)
def tampered(pod: Pod, request: pytest.FixtureRequest) -> Tampered:
    """A pod in which somebody else has rules already."""
    tampered = Tampered(pod, *request.param)
    pod.run(f"{tampered.tool}-restore", stdin=tampered.translated(FOREIGN))
    return tampered


@pytest.mark.parametrize(("tampered", "tampering"), CASES, indirect=["tampered"])
async def test_tampering_is_noticed_named_counted_and_repaired(
    tampered: Tampered, reconciler: Reconciler, tampering: str, served_by: str
) -> None:
    """By whoever serves the pod."""
    kind, commands = TAMPERINGS[tampering]
    sandbox = tampered.sandbox
    after = await reconciler.capture(record(), capture(), sandbox)
    variant = served_by if tampered.variant == NFT else LEGACY
    assert (after.finding.state, after.backend) == (PodState.PROGRAMMED, variant)
    whole = tampered.ours()
    tampered.do(*commands)
    foreign = tampered.foreign()
    assert foreign or tampering == EMPTIES
    after = await reconciler.capture(after, capture(), sandbox)
    assert after.finding.state is PodState.PROGRAMMED
    assert (after.detected, after.repaired) == (1, 1)
    assert after.last_drift
    assert after.last_drift.kind == kind
    assert tampered.ours() == whole
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
    sandbox = tampered.sandbox
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
    sandbox = tampered.sandbox
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
    before, sandbox = tampered.rules(), tampered.sandbox
    after = await reconciler.capture(record(), capture(), sandbox)
    tampered.do("-A FOREIGN -p tcp -j ISTIO_REDIRECT")
    after = await reconciler.release(after, sandbox)
    assert after.finding.reason == "ChainReferenced"
    tampered.do("-D FOREIGN -p tcp -j ISTIO_REDIRECT")
    after = await reconciler.release(after, sandbox)
    assert after.held_by == ""
    assert tampered.rules() == before


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
