"""A judgement that is remembered is the one that would be made, and few are remembered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_agent.judgements import MAX_RULES, Judgements
from capture_agent.nat_backends import NatView
from capture_nat.compiling import compile_program
from capture_nat.drift import find_drift
from capture_nat.families import Family
from capture_nat.planning import ChainConflictError, plan_changes
from capture_nat.rulesets import Ruleset
from capture_nat.tables import NatTable
from unit.capture_agent.captures import program
from unit.capture_nat.programs import REFERENCE_PROGRAM
from unit.capture_nat.tables import EMPTY, programmed, tampered, with_rules

RULESET = compile_program(REFERENCE_PROGRAM, Family.IPV4)
OTHER = compile_program(program(port="81"), Family.IPV4)
WHOLE = programmed(RULESET)


def view(table: NatTable, marked: frozenset[str] = RULESET.names) -> NatView:
    """See a table."""
    return NatView(table, marked, "fake")


@given(
    tables=st.lists(tampered(WHOLE), min_size=1, max_size=3),
    asked=st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from([RULESET, OTHER, None]),
            st.sampled_from([RULESET.names, RULESET.names | {"OUTPUT"}]),
            st.sampled_from([frozenset[str](), frozenset({"PREROUTING"})]),
        ),
        max_size=12,
    ),
)
def test_whatever_was_asked_before_the_answer_is_the_same(
    tables: list[NatTable],
    asked: list[tuple[int, Ruleset | None, frozenset[str], frozenset[str]]],
) -> None:
    """By rule set, table, marks and journal, with room for too few."""
    judgements = Judgements(max_tables=2)
    for number, ruleset, marked, recorded in asked:
        table = tables[number % len(tables)]
        judged = judgements.judge(ruleset, view(table, marked), recorded)
        assert judged.owned == (marked | recorded) & table.chains.keys()
        assert judged.differences == (find_drift(ruleset, table) if ruleset else ())
        assert judged.plan == plan_changes(ruleset, table, judged.owned)


def test_a_table_is_judged_once() -> None:
    """However often it is seen, in whichever pod."""
    judgements = Judgements()
    first = judgements.judge(RULESET, view(WHOLE), frozenset())
    judgements.judge(OTHER, view(WHOLE), frozenset())
    assert judgements.judge(RULESET, view(WHOLE), frozenset()) is first


def test_what_was_not_asked_for_the_longest_is_forgotten() -> None:
    """So what others make a pod hold takes no more room than that."""
    judgements = Judgements(max_tables=2)
    first, second = (with_rules(WHOLE, "FOREIGN", f"-s 10.0.0.{each} -j LOG") for each in (1, 2))
    of_first = judgements.judge(RULESET, view(first), frozenset())
    of_second = judgements.judge(RULESET, view(second), frozenset())
    assert judgements.judge(RULESET, view(first), frozenset()) is of_first
    judgements.judge(RULESET, view(WHOLE), frozenset())
    assert judgements.judge(RULESET, view(first), frozenset()) is of_first
    assert judgements.judge(RULESET, view(second), frozenset()) is not of_second


def test_a_table_of_hostile_size_is_not_remembered() -> None:
    """Its pod pays for it at each look, and the others' judgements stay."""
    judgements = Judgements()
    huge = with_rules(WHOLE, "FOREIGN", *["-j LOG"] * MAX_RULES)
    first = judgements.judge(RULESET, view(huge), frozenset())
    assert judgements.judge(RULESET, view(huge), frozenset()) is not first


def test_a_conflict_is_one_each_time() -> None:
    """It is no judgement."""
    judgements = Judgements()
    theirs = with_rules(EMPTY, "ISTIO_OUTPUT", "-j LOG")
    for _ in range(2):
        with pytest.raises(ChainConflictError):
            judgements.judge(RULESET, view(theirs, frozenset()), frozenset())
