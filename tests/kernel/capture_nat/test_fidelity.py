"""What we render is what the kernel's tools print, so texts may be compared."""

import pytest
from hypothesis import given, settings

from capture_api.programs import Program
from capture_nat.compiling import compile_program
from capture_nat.drift import find_drift
from capture_nat.families import Family
from capture_nat.planning import plan_changes
from capture_nat.rulesets import Ruleset
from capture_nat.simulation import apply_plan
from kernel.capture_nat.iptables import VARIANTS, Iptables
from kernel.conftest import NetworkNamespace
from reference_rules import REFERENCE_RULES
from unit.capture_nat.programs import REFERENCE_PROGRAM, programs


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_reference_rules_are_listed_byte_for_byte(
    netns: NetworkNamespace, variant: str
) -> None:
    """`iptables -t nat -S` prints the reference after the policies of the built-in chains."""
    iptables = Iptables(netns, variant, Family.IPV4)
    iptables.program(compile_program(REFERENCE_PROGRAM, Family.IPV4), frozenset())
    listing = iptables.nat("-S").splitlines(keepends=True)
    assert "".join(line for line in listing if not line.startswith("-P ")) == REFERENCE_RULES


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=15, deadline=None)
@given(first=programs(("CAPTURE", "OLD")), second=programs(("CAPTURE", "OLD")))
def test_any_program_reads_back_as_it_was_written(
    shared_netns: NetworkNamespace, variant: str, family: Family, first: Program, second: Program
) -> None:
    """Chains, order and every character; then another program over it; then nothing of ours."""
    iptables = Iptables(shared_netns, variant, family)
    iptables.clear()
    iptables.nat("-A", "OUTPUT", "-p", "udp", "-j", "ACCEPT")
    iptables.nat("-A", "OUTPUT", "-m", "comment", "--comment", 'a "b"', "-j", "RETURN")
    foreign = iptables.observe()
    owned: frozenset[str] = frozenset()
    for program in (first, second):
        ruleset = compile_program(program, family)
        _apply_and_check(iptables, ruleset, owned)
        owned |= ruleset.names
    assert iptables.program(None, owned) == foreign


def _apply_and_check(iptables: Iptables, ruleset: Ruleset, owned: frozenset[str]) -> None:
    """The kernel holds what the simulation says, that is what was desired, and no more to do."""
    before = iptables.observe()
    plan = plan_changes(ruleset, before, owned)
    iptables.apply(plan)
    after = iptables.observe()
    assert after == apply_plan(before, plan)
    assert find_drift(ruleset, after) == ()
    assert plan_changes(ruleset, after, owned | ruleset.names).is_empty
