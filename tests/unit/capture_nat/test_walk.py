"""The walk follows what it understands, and says what it does not."""

from ipaddress import ip_address

import pytest

from capture_nat.rulesets import Hook
from capture_nat.walk import PASS, Packet, UnknownRuleError, Verdict, walk
from unit.capture_nat.tables import EMPTY, with_rules

PACKET = Packet(
    source=ip_address("10.0.0.1"),
    destination=ip_address("10.0.0.2"),
    dport=80,
    out_interface="eth0",
    uid=0,
)


def test_the_first_verdict_on_the_way_decides() -> None:
    """RETURN goes back to the chain that jumped; the next rule there decides."""
    table = with_rules(EMPTY, "A", "-p udp -j ACCEPT", "! -o lo -j RETURN", "-j ACCEPT")
    table = with_rules(table, "OUTPUT", "-j A", "-p tcp -j REDIRECT --to-ports 7", "-j ACCEPT")
    assert walk(table, PACKET, Hook.OUTPUT) == Verdict(7)


def test_a_base_chain_without_a_verdict_passes() -> None:
    """The policy of the nat table passes, and RETURN in a base chain is the policy."""
    assert walk(EMPTY, PACKET, Hook.OUTPUT) is PASS
    table = with_rules(EMPTY, "OUTPUT", "-j RETURN", "-j REDIRECT --to-ports 7")
    assert walk(table, PACKET, Hook.OUTPUT) is PASS


@pytest.mark.parametrize(
    "rule",
    [
        "-m mark --mark 0x1 -j ACCEPT",
        "-j DNAT --to-destination 10.0.0.1",
        "-g A",
        "-p tcp",
        "-j REDIRECT",
        "-j LOOP",
    ],
)
def test_a_rule_of_another_form_is_not_guessed_at(rule: str) -> None:
    """A wrong verdict would be worse than none."""
    table = with_rules(with_rules(EMPTY, "LOOP", "-j LOOP"), "OUTPUT", rule)
    with pytest.raises(UnknownRuleError):
        walk(table, PACKET, Hook.OUTPUT)
