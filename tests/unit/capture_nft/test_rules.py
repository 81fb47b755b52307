"""A rule is the same value, read as text or as the bytes that iptables sends for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_api.programs import Program
from capture_nat.compiling import compile_program
from capture_nat.families import Family
from capture_nft.decoding import decode_expressions
from capture_nft.encoding import encode_compat, encode_expressions
from capture_nft.errors import NftError, UnreadableRuleError
from capture_nft.listing import text_of
from capture_nft.reading import rule_of
from unit.capture_nat.programs import programs
from unit.capture_nft.golden import Golden, captured, ours
from unit.capture_nft.rules import rules

_ATTRIBUTE_HEADER = 4


@pytest.mark.parametrize(
    "golden", list(captured()), ids=lambda golden: f"{golden.version} {golden.text}"
)
def test_a_rule_is_what_iptables_sent_for_it(golden: Golden) -> None:
    """The bytes decode to the rule that prints so, and the rule encodes to the bytes."""
    rule = decode_expressions(golden.expressions, golden.family)
    chain = golden.text.split()[1]
    assert text_of(rule, chain) == golden.text
    assert encode_expressions(rule, golden.family) == golden.expressions
    assert encode_compat(rule)[_ATTRIBUTE_HEADER:] == golden.compat


@pytest.mark.parametrize(
    "golden", list(ours()), ids=lambda golden: f"{golden.version} {golden.text}"
)
def test_a_text_of_ours_becomes_what_iptables_sends_for_it(golden: Golden) -> None:
    """Reading the text and encoding it gives the captured bytes."""
    assert encode_expressions(rule_of(golden.text), golden.family) == golden.expressions


@pytest.mark.parametrize("family", Family)
@given(program=programs())
def test_every_rule_that_we_compile_goes_round(family: Family, program: Program) -> None:
    """From text to rule to bytes to rule to text nothing changes."""
    ruleset = compile_program(program, family)
    texts = [rule for chain in ruleset.chains for rule in chain.rules]
    for text in [*texts, *(jump.rule for jump in ruleset.jumps)]:
        rule = rule_of(text)
        assert decode_expressions(encode_expressions(rule, family), family) == rule
        assert text_of(rule, text.split()[1]) == text


@pytest.mark.parametrize("family", Family)
@given(data=st.data())
def test_every_rule_that_others_write_is_understood(family: Family, data: st.DataObject) -> None:
    """What is encoded is decoded to the same value."""
    rule = data.draw(rules(family))
    assert decode_expressions(encode_expressions(rule, family), family) == rule


@pytest.mark.parametrize("family", Family)
@given(data=st.data())
def test_different_rules_print_differently(family: Family, data: st.DataObject) -> None:
    """A text stands for one rule alone, whatever comments, chains and interfaces are called."""
    one, other = data.draw(rules(family)), data.draw(rules(family))
    assert (text_of(one, "X") == text_of(other, "X")) == (one == other)


@given(st.binary(max_size=300))
def test_garbage_is_refused_with_an_error_of_ours(garbage: bytes) -> None:
    """No IndexError, no struct.error."""
    with pytest.raises(NftError):
        decode_expressions(b"\x01" + garbage, Family.IPV4)


@given(st.data())
def test_a_damaged_rule_is_refused_or_another_rule(data: st.DataObject) -> None:
    """One changed byte never ends in an error that is not ours."""
    expressions = bytearray(encode_expressions(data.draw(rules(Family.IPV4)), Family.IPV4))
    expressions[data.draw(st.integers(0, len(expressions) - 1))] = data.draw(st.integers(0, 255))
    try:
        rule = decode_expressions(bytes(expressions), Family.IPV4)
    except NftError:
        return
    assert text_of(rule, "X")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-A",
        "-N X",
        "-A X -j",
        "-A X -j MASQUERADE",
        "-A X -j REDIRECT",
        "-A X -j REDIRECT --to-ports 80x",
        "-A X -p tcp -m tcp --dport 99999 -j RETURN",
        "-A X -p sctp -j RETURN",
        "-A X -d 10.0.0.1/8 -j RETURN",
        "-A X -d nonsense -j RETURN",
        "-A X -o lo -d 10.0.0.0/8 -j RETURN",
        "-A X -m owner --uid-owner -1 -j RETURN",
        "-A X -m owner --uid-owner 4294967296 -j RETURN",
        "-A X -i averyveryverylongname -j RETURN",
        "-A X -m owner --uid-owner 2-1 -j RETURN",
        "-A X -m mark --mark 0x1 -j RETURN",
        "-A X --frobnicate 1 -j RETURN",
        "-A X -j RETURN -j ACCEPT",
        "-A X  -j RETURN",
    ],
)
def test_a_text_that_is_not_ours_is_refused(text: str) -> None:
    """Nothing is guessed: only what prints as the very same text is a rule."""
    with pytest.raises(UnreadableRuleError):
        rule_of(text)
