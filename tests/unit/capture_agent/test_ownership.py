"""A chain is ours by mark or record, and only with a name that we could have given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_agent.nat_backends import NatView
from capture_agent.ownership import owned_chains
from capture_nat.compiling import compile_program
from capture_nat.families import Family
from capture_nat.tables import NatTable, TableChain
from unit.capture_agent.captures import program
from unit.capture_nat.programs import programs


def view(*names: str, marked: frozenset[str] | None = None) -> NatView:
    """Show a table with these chains, all of them marked by default."""
    table = NatTable({name: TableChain(None) for name in names})
    return NatView(table, frozenset(names) if marked is None else marked, "fake")


@given(programs(prefixes=("A", "CAPTURE", "X1_2", "ABCDEFGHIJKLM")))
def test_every_chain_that_we_write_can_be_ours(what: object) -> None:
    """Whatever the prefix."""
    names = compile_program(what, Family.IPV4).names  # type: ignore[arg-type]
    assert owned_chains(view(*names), frozenset()) == names


@pytest.mark.parametrize(
    "name",
    [
        "--modprobe=/proc/7/root/x",
        "-t",
        "FOREIGN",
        "_OUTPUT",
        "istio_OUTPUT",
        "ISTIO_OUTPUT2",
        "A B_OUTPUT",
        "A\n_OUTPUT",
        "ISTIO_OUTPUT\n",
        "ABCDEFGHIJKLMN_OUTPUT",
        "-X_OUTPUT",
    ],
)
def test_a_mark_on_a_name_that_we_could_not_have_given_means_nothing(name: str) -> None:
    """Anybody who is root in the pod can put it there, and names get into commands."""
    assert owned_chains(view(name), frozenset({name})) == frozenset()


def test_a_name_alone_makes_no_chain_ours() -> None:
    """Istio's own chains are called the same."""
    assert owned_chains(view("ISTIO_OUTPUT", marked=frozenset()), frozenset()) == frozenset()


def test_a_recorded_chain_is_ours_without_a_mark() -> None:
    """Legacy tables have no place for one."""
    unmarked = view("ISTIO_OUTPUT", "OUTPUT", marked=frozenset())
    recorded = frozenset({"ISTIO_OUTPUT", "OUTPUT", "ISTIO_REDIRECT"})
    assert owned_chains(unmarked, recorded) == {"ISTIO_OUTPUT", "OUTPUT"}


@given(st.frozensets(st.text(max_size=20)))
def test_what_is_ours_is_always_in_the_table(names: frozenset[str]) -> None:
    """And never more than was marked or recorded."""
    assert owned_chains(view("ISTIO_OUTPUT"), names) <= {"ISTIO_OUTPUT"}


def test_the_reference_program_is_covered() -> None:
    """The four names of the issue."""
    names = {"ISTIO_INBOUND", "ISTIO_IN_REDIRECT", "ISTIO_OUTPUT", "ISTIO_REDIRECT"}
    assert compile_program(program(), Family.IPV4).names == names
