"""The kernel holds the same rules, whether we write them or `iptables-nft-restore` does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from capture_agent.nft_channel import NftChannel
from capture_api.programs import Program
from capture_nat.compiling import compile_program
from capture_nat.families import Family
from capture_nat.rulesets import Ruleset
from capture_nft.dumps import messages_of
from capture_nft.masks import Pattern
from capture_nft.nat_tables import nat_table_of
from capture_nft.rule_texts import RuleTexts
from capture_nft.snapshots import decode
from capture_nft.uapi import MessageType
from kernel.capture_nat.iptables import Iptables
from kernel.capture_nft.channels import channel_in, commit, dumped, program
from kernel.conftest import NetworkNamespace, network_namespace
from reference_rules import REFERENCE_RULES
from unit.capture_nat.programs import REFERENCE_PROGRAM, programs
from unit.capture_nft.golden import captured

FLUSH = ("nft", "flush", "ruleset")


@pytest.fixture(scope="module")
def other_netns() -> Iterator[NetworkNamespace]:
    """Where iptables writes what we write in the other one."""
    with network_namespace() as namespace:
        yield namespace


@pytest.mark.parametrize("family", Family)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(captured_program=programs())
def test_any_program_is_what_iptables_writes(
    shared_netns: NetworkNamespace,
    other_netns: NetworkNamespace,
    family: Family,
    captured_program: Program,
) -> None:
    """Dumps are equal but for handles and the like, and so are listings."""
    ruleset = compile_program(captured_program, family)
    ours, theirs = (Iptables(each, "nft", family) for each in (shared_netns, other_netns))
    for netns in (shared_netns, other_netns):
        netns.run(*FLUSH)
    theirs.netns.run(theirs.tool("-restore"), stdin=_restore_input(ruleset))
    with channel_in(shared_netns) as channel, channel_in(other_netns) as reference:
        if ruleset.chains:
            commit(channel, *program(family, ruleset))
        assert Pattern.of(_rules(reference)).matches(_rules(channel))
    assert ours.nat("-S") == theirs.nat("-S")


@pytest.mark.parametrize("family", Family)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(captured_program=programs())
def test_any_program_that_a_release_of_iptables_writes_reads_as_it_is_rendered(
    shared_netns: NetworkNamespace,
    iptables_folder: Path,
    family: Family,
    captured_program: Program,
) -> None:
    """Whichever of the kernel's expressions it chooses for that."""
    ruleset = compile_program(captured_program, family)
    restore = iptables_folder / Iptables(shared_netns, "nft", family).tool("-restore")
    shared_netns.run(*FLUSH)
    shared_netns.run(str(restore), stdin=_restore_input(ruleset))
    with channel_in(shared_netns) as channel:
        read = nat_table_of(decode(dumped(channel)), family, RuleTexts())
    assert not read.unknown
    assert {chain.name: chain.rules for chain in ruleset.chains} == {
        name: chain.rules for name, chain in read.table.chains.items() if chain.policy is None
    }
    assert [rule for jump in ruleset.jumps for rule in read.table.rules(jump.base)] == [
        jump.rule for jump in ruleset.jumps
    ]


def _restore_input(ruleset: Ruleset) -> str:
    bases = [f":{jump.base} ACCEPT [0:0]" for jump in ruleset.jumps]
    chains = [f":{chain.name} - [0:0]" for chain in ruleset.chains]
    rules = [jump.rule for jump in ruleset.jumps]
    rules += [rule for chain in ruleset.chains for rule in chain.rules]
    return "\n".join(["*nat", *bases, *chains, *rules, "COMMIT", ""])


def test_the_reference_is_listed_and_can_be_deleted_rule_by_rule(netns: NetworkNamespace) -> None:
    """`iptables -D` finds each of our rules by its text."""
    iptables = Iptables(netns, "nft", Family.IPV4)
    with channel_in(netns) as channel:
        commit(channel, *program(Family.IPV4, compile_program(REFERENCE_PROGRAM, Family.IPV4)))
    listing = iptables.nat("-S").splitlines(keepends=True)
    assert "".join(line for line in listing if not line.startswith("-P ")) == REFERENCE_RULES
    rules = [line for line in REFERENCE_RULES.splitlines() if line.startswith("-A ")]
    for rule in rules:
        iptables.nat("-C", *rule.split()[1:])
        iptables.nat("-D", *rule.split()[1:])
    assert iptables.nat("-S").count("-A ") == 0


@pytest.mark.parametrize("family", Family)
def test_rules_of_others_read_as_iptables_prints_them(
    netns: NetworkNamespace, family: Family
) -> None:
    """Every kind of rule that is understood, as the kernel gives it back."""
    iptables = Iptables(netns, "nft", family)
    rules = [each.text for each in captured() if each.family is family]
    text = "\n".join(["*nat", ":X - [0:0]", ":OTHER - [0:0]", *rules, "COMMIT", ""])
    netns.run(iptables.tool("-restore"), "--noflush", stdin=text)
    with channel_in(netns) as channel:
        snapshot = decode(dumped(channel))
    table = nat_table_of(snapshot, family, RuleTexts()).table
    observed = iptables.observe()
    assert table.rules("X") == observed.rules("X") == _in_chain("X", rules)
    assert table.rules("POSTROUTING") == observed.rules("POSTROUTING")


def test_a_comment_that_nft_wrote_reads_as_iptables_prints_it(netns: NetworkNamespace) -> None:
    """In the user data of the rule."""
    netns.run("nft", 'add table ip nat; add chain ip nat X; add rule ip nat X return comment "a b"')
    with channel_in(netns) as channel:
        snapshot = decode(dumped(channel))
    table = nat_table_of(snapshot, Family.IPV4, RuleTexts()).table
    assert table.rules("X") == ('-A X -m comment --comment "a b" -j RETURN',)
    assert table.rules("X") == Iptables(netns, "nft", Family.IPV4).observe().rules("X")


def _in_chain(chain: str, rules: list[str]) -> tuple[str, ...]:
    return tuple(rule for rule in rules if rule.split()[1] == chain)


def _rules(channel: NftChannel) -> bytes:
    """Dump rules alone, without the chains that they are in."""
    dump = dumped(channel)
    messages = list(messages_of(dump))
    return b"".join(dump[start:end] for kind, start, end in messages if kind == MessageType.NEWRULE)
