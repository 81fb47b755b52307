"""Drift is judged on full content and order, and named by what happened."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_api.programs import Dns, Program
from capture_nat.compiling import compile_program
from capture_nat.drift import MAX_DIFFERENCES, Difference, DriftKind, find_drift
from capture_nat.families import Family
from capture_nat.planning import plan_changes
from capture_nat.rulesets import Ruleset
from capture_nat.simulation import apply_plan
from capture_nat.tables import NatTable
from unit.capture_nat.programs import REFERENCE_PROGRAM, programs
from unit.capture_nat.tables import EMPTY, programmed, tampered, with_rules, with_texts

RULESET = compile_program(REFERENCE_PROGRAM, Family.IPV4)
PROGRAMMED = programmed(RULESET)
JUMP = "-A OUTPUT -p tcp -j ISTIO_OUTPUT"
OUTBOUND = PROGRAMMED.rules("ISTIO_OUTPUT")


def _with_outbound(rules: list[str]) -> NatTable:
    return with_texts(PROGRAMMED, "ISTIO_OUTPUT", rules)


def _kinds(table: NatTable) -> list[DriftKind]:
    return [difference.kind for difference in find_drift(RULESET, table)]


def test_a_programmed_table_has_no_drift() -> None:
    """What was applied is what is expected."""
    assert find_drift(RULESET, PROGRAMMED) == ()


@given(data=st.data(), program=programs())
def test_drift_is_empty_exactly_when_nothing_needs_to_be_written(
    data: st.DataObject, program: Program
) -> None:
    """The judge and the planner agree about every table."""
    ruleset = compile_program(program, Family.IPV4)
    table = data.draw(tampered(programmed(ruleset)))
    plan = plan_changes(ruleset, table, ruleset.names)
    assert (find_drift(ruleset, table) == ()) is plan.is_empty
    assert find_drift(ruleset, apply_plan(table, plan)) == ()


@pytest.mark.parametrize(
    "table",
    [
        NatTable(),
        EMPTY,
        NatTable({name: with_texts(EMPTY, name, []).chains[name] for name in PROGRAMMED.chains}),
    ],
    ids=["no-table", "no-chains", "empty-chains"],
)
def test_everything_gone_is_one_difference(table: NatTable) -> None:
    """After `iptables -t nat -F` a user reads one word, not ten lines."""
    names = "ISTIO_INBOUND ISTIO_IN_REDIRECT ISTIO_OUTPUT ISTIO_REDIRECT"
    assert find_drift(RULESET, table) == (Difference(DriftKind.FLUSHED, "", names, ""),)


def test_a_deleted_jump_is_named_with_its_rule() -> None:
    """The chain is the base chain; the rule is what should be in it."""
    table = with_texts(PROGRAMMED, "OUTPUT", [])
    assert find_drift(RULESET, table) == (Difference(DriftKind.JUMP_MISSING, "OUTPUT", JUMP, ""),)


def test_a_jump_that_is_there_twice_is_drift() -> None:
    """We own exactly one jump of a base chain."""
    assert _kinds(with_texts(PROGRAMMED, "OUTPUT", [JUMP, JUMP])) == [DriftKind.JUMP_DUPLICATED]


def test_a_missing_and_an_emptied_chain_are_told_apart() -> None:
    """`-F CHAIN` and a chain that is gone are different doings."""
    assert _kinds(_with_outbound([])) == [DriftKind.CHAIN_FLUSHED]
    assert _kinds(PROGRAMMED.without(["ISTIO_OUTPUT"])) == [DriftKind.CHAIN_MISSING]


def test_changes_of_rules_are_told_apart() -> None:
    """Deleted, replaced, inserted, moved and repeated rules each have their kind."""
    first, second, *rest = OUTBOUND
    foreign = "-A ISTIO_OUTPUT -p udp -j RETURN"
    assert find_drift(RULESET, _with_outbound([second, *rest])) == (
        Difference(DriftKind.RULE_MISSING, "ISTIO_OUTPUT", first, ""),
    )
    assert find_drift(RULESET, _with_outbound([foreign, second, *rest])) == (
        Difference(DriftKind.RULE_CHANGED, "ISTIO_OUTPUT", first, foreign),
    )
    assert find_drift(RULESET, _with_outbound([first, foreign, second, *rest])) == (
        Difference(DriftKind.RULE_INSERTED, "ISTIO_OUTPUT", "", foreign),
    )
    assert find_drift(RULESET, _with_outbound([second, first, *rest])) == (
        Difference(DriftKind.RULE_REORDERED, "ISTIO_OUTPUT", first, second),
    )
    assert find_drift(RULESET, _with_outbound([first, second, *rest, first])) == (
        Difference(DriftKind.RULE_DUPLICATED, "ISTIO_OUTPUT", first, first),
    )


def test_the_worst_comes_first() -> None:
    """A status has room for one: packets that pass uncaptured before an extra rule."""
    table = with_texts(_with_outbound([*OUTBOUND, OUTBOUND[0]]), "OUTPUT", [])
    table = with_texts(table, "ISTIO_REDIRECT", [])
    assert _kinds(table) == [
        DriftKind.JUMP_MISSING,
        DriftKind.CHAIN_FLUSHED,
        DriftKind.RULE_DUPLICATED,
    ]


def test_texts_are_bounded_and_printable() -> None:
    """A status is no place for an attacker's escape sequences or megabytes."""
    comment = '--comment "\x1b[2J\n' + "x" * 1000 + '"'
    (difference,) = find_drift(
        RULESET, _with_outbound([*OUTBOUND, f"-A ISTIO_OUTPUT -m comment {comment} -j LOG"])
    )
    assert len(difference.found) == 256
    assert difference.found.isprintable()
    assert difference.found.startswith('-A ISTIO_OUTPUT -m comment --comment "\ufffd[2J\ufffdxxx')


def test_the_number_of_differences_is_bounded() -> None:
    """Who floods a chain does not flood the status; the worst still comes first."""
    flood = [f"-A ISTIO_OUTPUT -p udp -m udp --dport {port} -j LOG" for port in range(1, 5000)]
    table = with_texts(_with_outbound([*flood, *OUTBOUND]), "OUTPUT", [])
    differences = find_drift(RULESET, table)
    assert len(differences) == MAX_DIFFERENCES
    assert differences[0].kind is DriftKind.JUMP_MISSING


def test_an_empty_rule_set_never_drifts() -> None:
    """Where nothing of ours should be, nothing of ours is missing."""
    assert find_drift(Ruleset(), EMPTY) == ()


@pytest.mark.parametrize(
    "foreign",
    [
        "-j RETURN",
        "-p tcp -m tcp --dport 22 -j ACCEPT",
        "-d 10.0.0.0/8 -j DNAT --to-destination 10.0.0.1",
        "! -p udp -j REDIRECT --to-ports 1",
        "-p tcp -j TAKES",
        "-p tcp -j LEADS",
        "-g HARMLESS",
        "-j NEWTARGET",
        "-j ISTIO_REDIRECT",
        "-m comment --comment -j -j RETURN",
        '-m comment --comment "-j LOG" -j ACCEPT',
        "! -s 10.0.0.0/8 -o eth0 -p tcp -j DROP",
    ],
)
def test_a_foreign_rule_that_may_take_our_traffic_is_drift(foreign: str) -> None:
    """Ahead of our jump it is told with its text; behind the jump it is nobody's business."""
    table = with_rules(PROGRAMMED, "HARMLESS", "-j LOG", "-j RETURN")
    table = with_rules(table, "TAKES", "-p udp -j ACCEPT", "-p tcp -j REDIRECT --to-ports 9")
    table = with_rules(table, "LEADS", "-j LOG", "-j LEADS", "-g TAKES")
    foreign = f"-A OUTPUT {foreign}"
    assert find_drift(RULESET, with_texts(table, "OUTPUT", [foreign, JUMP])) == (
        Difference(DriftKind.JUMP_SHADOWED, "OUTPUT", JUMP, foreign),
    )
    assert find_drift(RULESET, with_texts(table, "OUTPUT", [JUMP, foreign])) == ()


@pytest.mark.parametrize(
    "foreign",
    [
        "-p udp -j RETURN",
        "! -s 10.0.0.0/8 -o eth0 -p udp -m udp --dport 53 -j DNAT --to-destination 10.0.0.1",
        "! -p tcp -j ACCEPT",
        "-p tcp -j LOG --log-prefix x",
        "-p tcp -j NFLOG --nflog-group 1",
        "-p tcp",
        "-j HARMLESS",
        "-j CALLS_HARMLESS",
        '-m comment --comment "-j ACCEPT"',
    ],
)
def test_a_foreign_rule_that_lets_tcp_pass_is_no_drift(foreign: str) -> None:
    """Logging, other protocols, and chains that only return leave the packet to our jump."""
    table = with_rules(PROGRAMMED, "HARMLESS", "-j LOG", "-p udp -j ACCEPT", "-j RETURN")
    table = with_rules(table, "CALLS_HARMLESS", "-g HARMLESS")
    table = with_texts(table, "OUTPUT", [f"-A OUTPUT {foreign}", JUMP])
    assert find_drift(RULESET, table) == ()


def test_a_rule_into_an_emptied_chain_of_ours_shadows() -> None:
    """Once the chain is refilled the rule would take everything, the proxy's packets included."""
    table = with_texts(PROGRAMMED, "ISTIO_REDIRECT", [])
    table = with_texts(table, "OUTPUT", ["-A OUTPUT -j ISTIO_REDIRECT", JUMP])
    assert _kinds(table) == [DriftKind.JUMP_SHADOWED, DriftKind.CHAIN_FLUSHED]


def test_a_chain_named_as_a_target_is_followed_as_a_chain() -> None:
    """A raw netlink writer can name a chain LOG; the kernel goes there."""
    table = with_rules(PROGRAMMED, "LOG", "-j ACCEPT")
    table = with_texts(table, "OUTPUT", ["-A OUTPUT -j LOG", JUMP])
    assert _kinds(table) == [DriftKind.JUMP_SHADOWED]


@pytest.mark.parametrize("text", ["(unreadable: x)", "(more than iptables prints) -p udp -j LOG"])
def test_a_rule_that_is_more_than_its_text_shadows(text: str) -> None:
    """What else it does may take the packets, there or in a chain that leads to it."""
    ahead = with_texts(PROGRAMMED, "OUTPUT", [f"-A OUTPUT {text}", JUMP])
    assert _kinds(ahead) == [DriftKind.JUMP_SHADOWED]
    table = with_texts(PROGRAMMED, "THEIRS", [f"-A THEIRS {text}"])
    behind = with_texts(table, "OUTPUT", ["-A OUTPUT -j THEIRS", JUMP])
    assert _kinds(behind) == [DriftKind.JUMP_SHADOWED]


@pytest.mark.parametrize("rule", ["-p udp -j RETURN", "! -p tcp -j ACCEPT", "-j RETURN"])
def test_what_takes_queries_ahead_of_a_jump_for_them_shadows(rule: str) -> None:
    """With `dns` the jump is for UDP as well."""
    ruleset = compile_program(
        msgspec.structs.replace(REFERENCE_PROGRAM, dns=Dns(redirect_port=15053)), Family.IPV4
    )
    table = programmed(ruleset)
    shadowed = with_rules(table, "OUTPUT", rule, f"-j {ruleset.jumps[1].chain}")
    assert [each.kind for each in find_drift(ruleset, shadowed)] == [DriftKind.JUMP_SHADOWED]
    harmless = with_rules(table, "OUTPUT", "-p icmp -j RETURN", f"-j {ruleset.jumps[1].chain}")
    assert find_drift(ruleset, harmless) == ()
