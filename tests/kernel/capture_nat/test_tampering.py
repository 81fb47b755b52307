"""What somebody does to our rules in a real namespace is named, repaired, and nothing else is."""

import pytest

from capture_nat.compiling import compile_program
from capture_nat.drift import DriftKind, find_drift
from capture_nat.families import Family
from capture_nat.planning import plan_changes
from capture_nat.tables import NatTable, UnreadableTableError
from kernel.capture_nat.iptables import VARIANTS, Iptables
from kernel.conftest import NetworkNamespace
from unit.capture_nat.programs import REFERENCE_PROGRAM

RULESET = compile_program(REFERENCE_PROGRAM, Family.IPV4)
FOREIGN = "-A POSTROUTING -p udp -j RETURN"


@pytest.fixture(params=VARIANTS)
def iptables(request: pytest.FixtureRequest, netns: NetworkNamespace) -> Iptables:
    """The tools of each variant, in a namespace that holds the reference and a foreign rule."""
    tools = Iptables(netns, request.param, Family.IPV4)
    tools.nat(*FOREIGN.split())
    tools.program(RULESET, frozenset())
    return tools


@pytest.mark.parametrize(
    ("commands", "kind"),
    [
        (["-F"], DriftKind.FLUSHED),
        (["-D OUTPUT -p tcp -j ISTIO_OUTPUT"], DriftKind.JUMP_MISSING),
        (["-A OUTPUT -p tcp -j ISTIO_OUTPUT"], DriftKind.JUMP_DUPLICATED),
        (["-I OUTPUT -p tcp --dport 80 -j ACCEPT"], DriftKind.JUMP_SHADOWED),
        (["-N X", "-A X -j RETURN", "-I OUTPUT -g X"], DriftKind.JUMP_SHADOWED),
        (["-F ISTIO_REDIRECT"], DriftKind.CHAIN_FLUSHED),
        (["-F ISTIO_INBOUND", "-F ISTIO_IN_REDIRECT", "-X ISTIO_IN_REDIRECT"], "ChainMissing"),
        (["-D ISTIO_OUTPUT 2"], DriftKind.RULE_MISSING),
        (["-R ISTIO_OUTPUT 2 -m owner --uid-owner 7 -j RETURN"], DriftKind.RULE_CHANGED),
        (["-I ISTIO_OUTPUT -d 10.0.0.0/8 -j RETURN"], DriftKind.RULE_INSERTED),
        (["-I ISTIO_INBOUND -p udp -j RETURN"], DriftKind.RULE_INSERTED),
        (["-D ISTIO_OUTPUT 5", "-I ISTIO_OUTPUT -j ISTIO_REDIRECT"], DriftKind.RULE_REORDERED),
        (["-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001"], DriftKind.RULE_DUPLICATED),
    ],
)
def test_tampering_is_named_and_repaired(
    iptables: Iptables, commands: list[str], kind: DriftKind
) -> None:
    """The most important difference has the kind that says what was done; one plan undoes it."""
    for command in commands:
        iptables.nat(*command.split())
    tampered = iptables.observe()
    assert find_drift(RULESET, tampered)[0].kind == kind
    repaired = iptables.program(RULESET, RULESET.names)
    assert find_drift(RULESET, repaired) == ()
    assert _foreign(repaired) == _foreign(tampered)


def test_a_foreign_rule_that_takes_nothing_stays_ahead_of_our_jump(iptables: Iptables) -> None:
    """It is no drift, and nothing is written because of it."""
    iptables.nat("-I", "OUTPUT", "-p", "udp", "-j", "RETURN")
    table = iptables.observe()
    assert find_drift(RULESET, table) == ()
    assert plan_changes(RULESET, table, RULESET.names).is_empty


def test_a_removal_leaves_only_what_is_foreign(iptables: Iptables) -> None:
    """No chain and no jump of ours; the foreign rule as it was."""
    table = iptables.program(None, RULESET.names)
    rules = [rule for chain in table.chains.values() for rule in chain.rules]
    assert rules == [FOREIGN]
    assert not table.chains.keys() & RULESET.names


def test_a_chain_that_a_foreign_rule_refers_to_is_kept_until_it_does_not(
    iptables: Iptables,
) -> None:
    """The transaction as a whole goes through in spite of it."""
    iptables.nat("-A", "OUTPUT", "-d", "10.0.0.0/8", "-j", "ISTIO_OUTPUT")
    plan = plan_changes(None, iptables.observe(), RULESET.names)
    assert plan.kept == ("ISTIO_OUTPUT",)
    iptables.apply(plan)
    iptables.nat("-D", "OUTPUT", "-d", "10.0.0.0/8", "-j", "ISTIO_OUTPUT")
    assert not iptables.program(None, RULESET.names).chains.keys() & RULESET.names


def test_a_comment_can_not_feign_a_rule_of_ours(iptables: Iptables) -> None:
    """Raw newlines and quotes in a comment, as the tools really print them."""
    rules = iptables.observe().rules("ISTIO_OUTPUT")
    feigned = f'x\\" "\\\n[0:0] {rules[0]}\nCOMMIT\n"\n'
    iptables.nat("-F", "ISTIO_OUTPUT")
    iptables.nat("-I", "OUTPUT", "-m", "comment", "--comment", feigned, "-j", "RETURN")
    table = iptables.observe()
    assert table.rules("ISTIO_OUTPUT") == ()
    assert [each.kind for each in find_drift(RULESET, table)] == [
        DriftKind.JUMP_SHADOWED,
        DriftKind.CHAIN_FLUSHED,
    ]


def test_a_table_that_iptables_can_not_print_is_unreadable(netns: NetworkNamespace) -> None:
    """iptables-nft-save exits with 0 and prints a remark where the table should be."""
    iptables = Iptables(netns, "nft", Family.IPV4)
    iptables.program(RULESET, frozenset())
    netns.run("nft", "add rule ip nat OUTPUT tcp dport 80 redirect to :55")
    with pytest.raises(UnreadableTableError, match="incompatible"):
        iptables.observe()


def _foreign(table: NatTable) -> dict[str, list[str]]:
    jumps = {jump.rule for jump in RULESET.jumps}
    return {
        name: [rule for rule in chain.rules if rule not in jumps]
        for name, chain in table.chains.items()
        if name not in RULESET.names
    }
