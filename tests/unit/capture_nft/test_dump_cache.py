"""A dump is recognised if and only if it says the same as one that was read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_nft.dump_cache import DumpCache
from capture_nft.masks import Pattern
from capture_nft.snapshots import decode
from unit.capture_nft import wire

RULES = (
    "-A X -p tcp -j OTHER",
    "-A X -m owner --uid-owner 1337 -j RETURN",
    "-A X -m owner --uid-owner 1338 -j RETURN",
    "-A X -p tcp -j REDIRECT --to-ports 15001",
)


def _dump(*texts: str, handle: int = 1, packets: int = 0, sequence: int = 0) -> bytes:
    rules = (
        wire.rule(text, handle=handle + n, packets=packets, sequence=sequence)
        for n, text in enumerate(texts)
    )
    return wire.table() + wire.chain("X", handle=handle) + b"".join(rules)


def test_handles_counters_and_sequence_numbers_make_no_difference() -> None:
    """They differ from pod to pod, and with traffic."""
    pattern = Pattern.of(_dump(*RULES))
    assert pattern.matches(_dump(*RULES, handle=77, packets=1 << 40, sequence=9))


@given(
    st.lists(st.sampled_from(RULES), max_size=4),
    st.lists(st.sampled_from(RULES), max_size=4),
)
def test_a_pattern_matches_equal_content_only(one: list[str], other: list[str]) -> None:
    """Order counts."""
    assert Pattern.of(_dump(*one)).matches(_dump(*other, handle=5)) == (one == other)


@given(st.data())
def test_whatever_byte_changes_what_a_dump_says_is_seen(data: st.DataObject) -> None:
    """A dump that matches decodes to the same rules, tables and chains but for handles."""
    original = _dump(*RULES)
    dump = bytearray(original)
    where = data.draw(st.integers(0, len(dump) - 1))
    dump[where] ^= data.draw(st.integers(1, 255))
    if Pattern.of(original).matches(bytes(dump)):
        assert _said(bytes(dump)) == _said(original)


def _said(dump: bytes) -> object:
    snapshot = decode(dump)
    chains = [(chain.table, chain.name, chain.comment) for chain in snapshot.chains]
    rules = [(rule.chain, rule.expressions, rule.comment) for rule in snapshot.rules]
    return snapshot.tables, chains, rules


def test_a_dormant_table_is_not_taken_for_one_that_is_not() -> None:
    """The flag is one bit of the dump."""
    assert not Pattern.of(wire.table()).matches(wire.table(1))


def test_pods_with_one_program_share_what_was_concluded() -> None:
    """And others have their own."""
    cache: DumpCache[str] = DumpCache()
    cache.remember(Pattern.of(_dump(RULES[1])), "one")
    cache.remember(Pattern.of(_dump(RULES[2])), "other")
    assert cache.find(_dump(RULES[1], handle=9)) == "one"
    assert cache.find(_dump(RULES[2], handle=9)) == "other"
    assert cache.find(_dump(RULES[0])) is None
    assert cache.find(b"") is None


def test_what_was_not_asked_for_the_longest_is_forgotten() -> None:
    """The bytes of all dumps together stay below the limit."""
    first, second, third = _dump(RULES[1]), _dump(RULES[2]), _dump(*RULES[:2])
    cache: DumpCache[int] = DumpCache(max_bytes=len(first) + len(third))
    cache.remember(Pattern.of(first), 1)
    cache.remember(Pattern.of(second), 2)
    assert cache.find(first) == 1
    cache.remember(Pattern.of(third), 3)
    assert [cache.find(each) for each in (first, second, third)] == [1, None, 3]


def test_a_dump_beyond_the_limit_is_not_remembered() -> None:
    """It would push out all others."""
    cache: DumpCache[int] = DumpCache(max_bytes=100)
    cache.remember(Pattern.of(_dump(*RULES)), 1)
    assert cache.find(_dump(*RULES)) is None


@pytest.mark.parametrize("texts", [(), RULES])
def test_remembering_again_replaces(texts: tuple[str, ...]) -> None:
    """The newer conclusion counts."""
    cache: DumpCache[int] = DumpCache()
    cache.remember(Pattern.of(_dump(*texts)), 1)
    cache.remember(Pattern.of(_dump(*texts)), 2)
    assert cache.find(_dump(*texts)) == 2
