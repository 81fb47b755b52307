"""Drift is counted when it is new, and told with what is worst."""

from msgspec.structs import replace

from capture_agent.drift_accounting import (
    MAX_MESSAGE,
    Obstacle,
    describe,
    drifted,
    with_drift_counted,
)
from capture_agent.records import Drift
from capture_api.node_captures import PodState
from capture_nat.drift import Difference, DriftKind
from capture_nat.families import Family
from unit.capture_agent.captures import record

FLUSHED = (Drift(Family.IPV4, Difference(DriftKind.FLUSHED, "", "ISTIO_INBOUND", "")),)
INSERTED = (
    Drift(
        Family.IPV4,
        Difference(DriftKind.RULE_INSERTED, "ISTIO_OUTPUT", "", "-A ISTIO_OUTPUT -j ACCEPT"),
    ),
    Drift(Family.IPV6, Difference(DriftKind.RULE_DUPLICATED, "ISTIO_OUTPUT", "x", "x")),
)


def test_the_same_drift_counts_once() -> None:
    """However long it lasts, and when it began is what is told."""
    once = with_drift_counted(record(), FLUSHED, "2026-01-01T00:00:00Z")
    assert with_drift_counted(once, FLUSHED, "2026-01-01T00:00:05Z") == once
    assert once.detected == 1


def test_other_drift_counts_again() -> None:
    """The worst of it is told."""
    once = with_drift_counted(record(), FLUSHED, "2026-01-01T00:00:00Z")
    twice = with_drift_counted(once, INSERTED, "2026-01-01T00:00:05Z")
    assert twice.detected == 2
    assert twice.last_drift
    assert (twice.last_drift.kind, twice.last_drift.pod) == ("RuleInserted", twice.pod.name)
    assert (twice.last_drift.expected, twice.last_drift.found) == ("", "-A ISTIO_OUTPUT -j ACCEPT")


def test_drift_that_comes_back_after_it_was_gone_counts_again() -> None:
    """A pass that finds all well clears what was counted."""
    once = with_drift_counted(record(), FLUSHED, "2026-01-01T00:00:00Z")
    assert with_drift_counted(replace(once, counted=()), FLUSHED, "later").detected == 2


def test_a_finding_names_the_kind_the_rules_and_what_hinders_the_repair() -> None:
    """In one line."""
    finding = drifted(INSERTED, Obstacle("driftPolicy is Report"))
    assert (finding.state, finding.reason) == (PodState.DRIFTED, "RuleInserted")
    assert finding.message == (
        "ISTIO_OUTPUT: found '-A ISTIO_OUTPUT -j ACCEPT' (and 1 more); driftPolicy is Report"
    )


def test_a_reason_to_act_goes_before_what_is_different() -> None:
    """What is different is in the message then."""
    finding = drifted(FLUSHED, Obstacle("next repair in 6.4 s", "Contended"))
    assert (finding.state, finding.reason) == (PodState.DRIFTED, "Contended")
    assert finding.message.startswith("Flushed: ")


def test_a_message_fits_the_status() -> None:
    """Whatever somebody else put into the rule."""
    long = Difference(DriftKind.JUMP_SHADOWED, "OUTPUT", "e" * 256, "f" * 256)
    assert len(drifted((Drift(Family.IPV6, long),), Obstacle("why")).message) == MAX_MESSAGE


def test_a_difference_without_rules_is_its_chain() -> None:
    """There is nothing else to say of it."""
    assert describe(Difference(DriftKind.CHAIN_MISSING, "ISTIO_OUTPUT", "", "")) == "ISTIO_OUTPUT"
