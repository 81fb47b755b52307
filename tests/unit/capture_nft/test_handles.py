"""The handles of rules are found by chain and text, in the kernel's order."""

from hypothesis import given
from hypothesis import strategies as st

from capture_nat.families import Family
from capture_nft.handles import handles_in
from capture_nft.rule_texts import RuleTexts
from capture_nft.snapshots import decode
from capture_nft.uapi import NF_HEADER, NfFamily
from unit.capture_nft import wire

CHAINS = ("OUTPUT", "PREROUTING", "X")
RULES = st.tuples(st.sampled_from(CHAINS), st.sampled_from(["-j X", "-p tcp -j X", "-j RETURN"]))


def text(chain: str, specification: str) -> str:
    """Print a rule."""
    return f"-A {chain} {specification}"


@given(rules=st.lists(RULES, max_size=8), chosen=st.sets(st.sampled_from(CHAINS)))
def test_the_handles_of_the_chosen_chains_are_found_by_text(
    rules: list[tuple[str, str]], chosen: set[str]
) -> None:
    """Of a rule that is there twice, both; of other chains, none."""
    texts = [text(*rule) for rule in rules]
    dump = wire.table() + b"".join(wire.rule(each, handle=n) for n, each in enumerate(texts, 1))
    assert handles_in(dump, Family.IPV4, chosen, RuleTexts()) == {
        each: tuple(n for n, other in enumerate(texts, 1) if other == each)
        for each, (chain, _) in zip(texts, rules, strict=True)
        if chain in chosen
    }


def test_rules_of_the_other_family_have_handles_of_their_own() -> None:
    """The same number names another rule there."""
    rule = wire.rule(text("OUTPUT", "-j X"), handle=7)
    twin = rule[:16] + bytes([NfFamily.IPV6]) + rule[17:]
    assert handles_in(twin, Family.IPV4, CHAINS, RuleTexts()) == {}
    found = handles_in(twin + rule, Family.IPV6, CHAINS, RuleTexts())
    assert found == {text("OUTPUT", "-j X"): (7,)}


def test_another_table_of_the_same_chains_is_nobodys_business() -> None:
    """Only the nat table is written."""
    other = wire.rule(text("OUTPUT", "-j X")).replace(b"nat\0", b"raw\0")
    assert decode(other).rules
    assert handles_in(other, Family.IPV4, CHAINS, RuleTexts()) == {}


def test_a_rule_that_cannot_be_read_has_no_handle_here() -> None:
    """It is none of ours; those beside it have theirs."""
    rule = wire.rule(text("OUTPUT", "-j X"), handle=7)
    unknown = rule.replace(b"immediate", b"unknowabl")
    assert unknown != rule
    assert len(unknown) == len(rule) > NF_HEADER
    found = handles_in(unknown + rule, Family.IPV4, CHAINS, RuleTexts())
    assert found == {text("OUTPUT", "-j X"): (7,)}
