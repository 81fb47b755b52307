"""A plan reaches the rule set from any table, in one transaction, and touches nobody's rules."""

from dataclasses import replace
from itertools import product, starmap

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_api.programs import Dns, Inbound, Program
from capture_nat.commands import (
    Command,
    DeleteChain,
    DeleteRule,
    Flush,
    InsertFirst,
    WakeTable,
    restore_input,
)
from capture_nat.compiling import compile_program
from capture_nat.drift import DriftKind, find_drift
from capture_nat.families import Family
from capture_nat.planning import ChainConflictError, Plan, plan_changes
from capture_nat.rulesets import BUILTIN_CHAINS, Hook, Jump, Ruleset, Traffic
from capture_nat.simulation import TransactionError, apply_plan
from capture_nat.tables import NatTable
from unit.capture_nat.programs import REFERENCE_PROGRAM, programs
from unit.capture_nat.tables import EMPTY, programmed, tampered, with_rules, with_texts

OLD = compile_program(REFERENCE_PROGRAM, Family.IPV4)
NEW = compile_program(
    Program(chain_prefix="CAPTURE", inbound=Inbound(redirect_port=15006)), Family.IPV4
)
WITH_DNS = compile_program(
    msgspec.structs.replace(REFERENCE_PROGRAM, dns=Dns(redirect_port=15053)), Family.IPV4
)
NOTHING_OWNED: frozenset[str] = frozenset()

rulesets = programs(("CAPTURE", "OLD")).map(lambda each: compile_program(each, Family.IPV4))


def _foreign(table: NatTable, ours: frozenset[str]) -> dict[str, list[str]]:
    """What others wrote: every rule outside of our chains that is no jump of ours."""
    jumps = {each.rule for each in starmap(Jump, product(Hook, ours, Traffic))}
    return {
        name: rules
        for name in table.chains
        if name not in ours and (rules := [r for r in table.rules(name) if r not in jumps])
    }


def _commands(plan: Plan) -> list[str]:
    return restore_input(plan.commands).splitlines()[1:-1]


@given(data=st.data(), before=rulesets, desired=rulesets | st.none())
def test_a_plan_converges_at_once_and_leaves_foreign_rules_alone(
    data: st.DataObject, before: Ruleset, desired: Ruleset | None
) -> None:
    """From any tampered table: equal after one transaction, nothing left to do, others equal."""
    table = data.draw(tampered(programmed(before)))
    bases = data.draw(st.frozensets(st.sampled_from(sorted(BUILTIN_CHAINS))))
    ruleset = desired or Ruleset()
    owned = before.names | ruleset.names | bases
    plan = plan_changes(desired, table, owned)
    after = apply_plan(table, plan)
    again = plan_changes(desired, after, owned.union(plan.create, plan.adopted))
    assert find_drift(ruleset, after) == ()
    assert again.is_empty
    assert again.kept == plan.kept
    assert _foreign(after, owned - bases) == _foreign(table, owned - bases)


@given(data=st.data(), before=rulesets)
def test_a_removal_leaves_nothing_of_ours(data: st.DataObject, before: Ruleset) -> None:
    """Only a chain that a foreign rule refers to stays, empty and reported."""
    table = data.draw(tampered(programmed(before)))
    plan = plan_changes(None, table, before.names)
    after = apply_plan(table, plan)
    assert before.names & after.chains.keys() == set(plan.kept)
    assert all(after.rules(name) == () for name in plan.kept)
    forms = [form for jump in before.jumps for form in (jump, *jump.other_forms)]
    assert not any(form.rule in after.rules(form.base) for form in forms)


def test_everything_is_created_empty_and_filled_in_one_transaction() -> None:
    """The backend creates and marks first; packets notice only the transaction."""
    plan = plan_changes(NEW, NatTable(), NOTHING_OWNED)
    assert plan.create == ("CAPTURE_INBOUND", "CAPTURE_IN_REDIRECT", "PREROUTING")
    assert restore_input(plan.commands) == (
        "*nat\n"
        ":CAPTURE_INBOUND - [0:0]\n"
        ":CAPTURE_IN_REDIRECT - [0:0]\n"
        "-A CAPTURE_INBOUND -j CAPTURE_IN_REDIRECT\n"
        "-A CAPTURE_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006\n"
        "-I PREROUTING 1 -p tcp -j CAPTURE_INBOUND\n"
        "COMMIT\n"
    )


def test_nothing_is_written_where_nothing_differs() -> None:
    """Counters survive a pass on an equal state."""
    assert plan_changes(NEW, programmed(NEW), NEW.names) == Plan()
    assert plan_changes(None, EMPTY, NEW.names) == Plan()


def test_only_what_differs_is_written() -> None:
    """The counters of the other chains go on."""
    table = with_texts(programmed(OLD), "ISTIO_IN_REDIRECT", [])
    assert _commands(plan_changes(OLD, table, OLD.names)) == [
        ":ISTIO_IN_REDIRECT - [0:0]",
        "-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15001",
    ]


def test_a_shadowed_and_repeated_jump_is_put_first_once() -> None:
    """Every copy is deleted by its text; the foreign rule stays where it is."""
    jump, foreign = OLD.jumps[1].rule, "-A OUTPUT -j ACCEPT"
    table = with_texts(programmed(OLD), "OUTPUT", [foreign, jump, jump])
    plan = plan_changes(OLD, table, OLD.names)
    assert _commands(plan) == [
        "-D OUTPUT -p tcp -j ISTIO_OUTPUT",
        "-D OUTPUT -p tcp -j ISTIO_OUTPUT",
        "-I OUTPUT 1 -p tcp -j ISTIO_OUTPUT",
    ]
    assert apply_plan(table, plan).rules("OUTPUT") == (jump, foreign)


@pytest.mark.parametrize(("before", "after"), [(OLD, WITH_DNS), (WITH_DNS, OLD)])
def test_a_jump_of_another_form_is_replaced_in_the_same_transaction(
    before: Ruleset, after: Ruleset
) -> None:
    """With `dns` the jump takes UDP too; at no instant is there none, and no other one stays."""
    table = programmed(before)
    plan = plan_changes(after, table, before.names)
    assert apply_plan(table, plan).rules("OUTPUT") == (after.jumps[1].rule,)
    delete, insert = (each for each in _commands(plan) if " OUTPUT " in each)
    assert delete == before.jumps[1].rule.replace("-A", "-D")
    assert insert == after.jumps[1].rule.replace("-A OUTPUT", "-I OUTPUT 1")


def test_a_jump_of_another_form_beside_ours_goes() -> None:
    """One jump a base chain is ours, and no more."""
    (other,) = OLD.jumps[1].other_forms
    table = with_texts(programmed(OLD), "OUTPUT", [OLD.jumps[1].rule, other.rule])
    [difference] = find_drift(OLD, table)
    assert (difference.kind, difference.found) == (DriftKind.JUMP_DUPLICATED, other.rule)
    after = apply_plan(table, plan_changes(OLD, table, OLD.names))
    assert after.rules("OUTPUT") == (OLD.jumps[1].rule,)


def test_a_removal_takes_the_jump_of_every_form() -> None:
    """Whichever program was the last one."""
    table = programmed(WITH_DNS)
    after = apply_plan(table, plan_changes(None, table, WITH_DNS.names))
    assert after.rules("OUTPUT") == ()
    assert not after.chains.keys() & WITH_DNS.names


def test_another_prefix_replaces_the_old_one_in_one_transaction() -> None:
    """Between the old capture and the new there is no instant without."""
    table = programmed(OLD)
    plan = plan_changes(NEW, table, OLD.names)
    assert plan.create == ("CAPTURE_INBOUND", "CAPTURE_IN_REDIRECT")
    assert apply_plan(table, plan).chains.keys() == BUILTIN_CHAINS | NEW.names


def test_a_chain_of_our_name_exactly_as_planned_is_adopted() -> None:
    """What an init container wrote becomes ours without a write, and the plan says so."""
    plan = plan_changes(OLD, programmed(OLD), NOTHING_OWNED)
    assert plan == Plan(adopted=tuple(chain.name for chain in OLD.chains))


@pytest.mark.parametrize("rules", [["-A ISTIO_REDIRECT -j RETURN"], []])
def test_a_chain_of_our_name_that_differs_is_a_conflict(rules: list[str]) -> None:
    """Somebody else's chain is neither overwritten nor half used."""
    table = with_texts(programmed(OLD), "ISTIO_REDIRECT", rules)
    with pytest.raises(ChainConflictError, match="chain ISTIO_REDIRECT exists") as caught:
        plan_changes(OLD, table, OLD.names - {"ISTIO_REDIRECT"})
    assert caught.value.chain == "ISTIO_REDIRECT"
    assert caught.value.expected == "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001"
    assert caught.value.found == "".join(rules)


def test_a_chain_that_a_foreign_rule_refers_to_is_emptied_and_kept() -> None:
    """The kernel would refuse to delete it, and the foreign rule is not ours to delete."""
    table = with_rules(programmed(OLD), "FOREIGN", "-g ISTIO_REDIRECT")
    plan = plan_changes(None, table, OLD.names)
    after = apply_plan(table, plan)
    assert plan.kept == ("ISTIO_REDIRECT",)
    assert after.rules("ISTIO_REDIRECT") == ()
    assert after.rules("FOREIGN") == ("-A FOREIGN -g ISTIO_REDIRECT",)
    later = plan_changes(None, with_rules(after, "FOREIGN"), OLD.names)
    assert _commands(later) == ["-X ISTIO_REDIRECT"]


def test_base_chains_of_ours_go_when_nothing_is_left_in_them() -> None:
    """A base chain that we created stays only while somebody else's rule is in it."""
    table = with_texts(programmed(OLD), "OUTPUT", [OLD.jumps[1].rule, "-A OUTPUT -p udp -j ACCEPT"])
    plan = plan_changes(None, table, OLD.names | {"PREROUTING", "OUTPUT"})
    assert plan.drop_if_empty == ("PREROUTING",)
    assert "OUTPUT" in apply_plan(table, plan).chains
    assert plan_changes(None, table, OLD.names).drop_if_empty == ()


def test_a_base_chain_that_gets_its_jump_back_is_not_dropped() -> None:
    """It is empty now, and will not be."""
    table = with_texts(programmed(OLD), "OUTPUT", [])
    assert plan_changes(OLD, table, OLD.names | {"OUTPUT"}).drop_if_empty == ()


def test_a_plan_for_another_table_is_refused_as_a_whole() -> None:
    """A jump that somebody deleted in between fails the transaction."""
    table = with_rules(programmed(OLD), "OUTPUT", "-j ACCEPT", "-p tcp -j ISTIO_OUTPUT")
    plan = plan_changes(OLD, table, OLD.names)
    with pytest.raises(TransactionError, match="-A OUTPUT -p tcp -j ISTIO_OUTPUT"):
        apply_plan(with_rules(table, "OUTPUT"), plan)


@pytest.mark.parametrize(
    "command",
    [
        InsertFirst("-A GONE -j RETURN"),
        DeleteRule("-A GONE -j RETURN"),
        Flush("GONE"),
        DeleteChain("FOREIGN"),
        DeleteChain("USED"),
    ],
)
def test_the_simulation_refuses_what_the_kernel_refuses(command: Command) -> None:
    """No rule into a missing chain, no deletion of a filled or referenced one."""
    table = with_rules(with_rules(EMPTY, "FOREIGN", "-j USED"), "USED")
    with pytest.raises(TransactionError):
        apply_plan(table, Plan(commands=(command,)))


def test_a_table_that_was_switched_off_is_switched_on() -> None:
    """Its rules read as if they were in force; none of them is."""
    table = replace(programmed(OLD), is_dormant=True)
    plan = plan_changes(OLD, table, OLD.names)
    assert [each.kind for each in find_drift(OLD, table)] == [DriftKind.TABLE_DORMANT]
    assert plan == Plan(commands=(WakeTable(),))
    assert apply_plan(table, plan) == programmed(OLD)


def test_a_table_without_anything_of_ours_may_sleep() -> None:
    """It is not ours to wake."""
    assert plan_changes(None, NatTable(is_dormant=True), OLD.names).is_empty
