"""Dumps are read whole or not at all."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_nat.families import Family
from capture_nat.tables import NatTable, TableChain
from capture_nft.dumps import is_of_generation, part_of
from capture_nft.errors import (
    DumpInterruptedError,
    KernelRefusalError,
    MalformedDumpError,
    NftError,
)
from capture_nft.generations import Change, change_in
from capture_nft.messages import Hook
from capture_nft.nat_tables import nat_table_of
from capture_nft.rule_texts import RuleTexts
from capture_nft.snapshots import NftBase, decode
from capture_nft.uapi import NLM_F_MULTI, MessageType
from unit.capture_nft import wire

RULE = "-A X -m owner --uid-owner 1337 -j RETURN"
DUMP = wire.table() + wire.chain("X") + wire.base_chain("OUTPUT") + wire.rule(RULE)
DONE = wire.result(MessageType.DONE)


def _nat_table(dump: bytes) -> NatTable:
    return nat_table_of(decode(dump), Family.IPV4, RuleTexts()).table


def test_a_dump_becomes_the_table_that_iptables_would_print() -> None:
    """Chains with policies, rules as text."""
    assert _nat_table(DUMP + DONE) == NatTable(
        {"X": TableChain(None, (RULE,)), "OUTPUT": TableChain("ACCEPT")}
    )


def test_counters_are_no_part_of_a_rule() -> None:
    """A rule that counted is equal to one that did not."""
    assert decode(wire.rule(RULE, packets=7)) == decode(wire.rule(RULE))


@pytest.mark.parametrize(
    ("flags", "dormant", "owned"), [(0, False, False), (1, True, False), (6, False, True)]
)
def test_a_table_says_whether_it_sleeps_and_whether_it_is_owned(
    flags: int,
    dormant: bool,  # noqa: FBT001
    owned: bool,  # noqa: FBT001
) -> None:
    """Both are invisible in its rules."""
    (table,) = decode(wire.table(flags)).tables
    assert (table.dormant, table.owned) == (dormant, owned)


def test_a_chain_has_its_comment_and_its_base() -> None:
    """A chain without a hook has no base, whatever its name."""
    dump = wire.chain("OUTPUT", comment="trafficcapture.io") + wire.base_chain(
        "X", priority=-101, policy=0
    )
    plain, base = decode(dump).chains
    assert (plain.comment, plain.base) == ("trafficcapture.io", None)
    assert base.base == NftBase(Hook(3, -101), "nat", "DROP")


def test_chains_that_print_alike_are_not_guessed_apart() -> None:
    """The one's rules could be taken for the other's."""
    with pytest.raises(MalformedDumpError, match="two chains"):
        _nat_table(wire.chain("X") + wire.chain("X"))


def test_a_rule_without_its_chain_is_no_table() -> None:
    """The dumps are not of one moment."""
    with pytest.raises(MalformedDumpError, match="X"):
        _nat_table(wire.rule(RULE))


@given(st.integers(1, len(DUMP) - 1))
def test_a_dump_that_is_cut_off_is_malformed_or_shorter(size: int) -> None:
    """Never an IndexError; where a message ends, the messages before it are read."""
    with contextlib.suppress(MalformedDumpError):
        assert decode(DUMP[:size]) != decode(DUMP)


@given(st.data())
def test_a_damaged_dump_ends_in_an_error_of_ours_or_is_read(data: st.DataObject) -> None:
    """Whatever byte is changed, to whatever."""
    dump = bytearray(DUMP)
    for _ in range(data.draw(st.integers(1, 3))):
        dump[data.draw(st.integers(0, len(dump) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(NftError):
        decode(bytes(dump))


def test_an_interrupted_dump_is_not_believed() -> None:
    """The kernel says so in a flag."""
    first = wire.answer(MessageType.NEWTABLE, 2, flags=0x12)
    assert part_of(first) == (first, False, True)
    assert part_of(DUMP + first) == (DUMP + first, False, False)
    done = wire.message(MessageType.DONE, bytes(4), flags=0x12)
    assert part_of(done) == (b"", True, True)
    with pytest.raises(DumpInterruptedError):
        decode(DUMP + first)


@pytest.mark.parametrize("generation", [1, 0xFFFF, 0x12345])
def test_a_dump_tells_of_which_generation_it_is(generation: int) -> None:
    """By the lower half; an empty one does not."""
    told = wire.message(MessageType.NEWRULE, struct.pack(">BBH", 2, 0, generation & 0xFFFF))
    assert is_of_generation(told, generation)
    assert not is_of_generation(told, generation + 1)
    assert not is_of_generation(b"", generation)


def test_an_error_in_place_of_a_dump_is_told() -> None:
    """With its number."""
    with pytest.raises(KernelRefusalError) as refused:
        decode(wire.result(MessageType.ERROR, 1))
    assert refused.value.errno == 1


def test_a_done_ends_a_dump_alone_or_behind_content() -> None:
    """Content before it is kept."""
    assert part_of(DONE) == (b"", True, False)
    assert part_of(DUMP + wire.message(MessageType.DONE, bytes(4))) == (DUMP, True, False)


def test_content_that_ends_like_a_done_does_not_end_a_dump() -> None:
    """The last bytes of a rule are whatever somebody wrote there."""
    forged = wire.message(MessageType.NEWRULE, bytes(4) + wire.message(MessageType.DONE, bytes(4)))
    assert part_of(forged) == (forged, False, False)


def test_a_done_with_an_error_is_told() -> None:
    """A dump that failed half-way is none."""
    for flags in (0, NLM_F_MULTI):
        with pytest.raises(KernelRefusalError):
            part_of(wire.message(MessageType.DONE, struct.pack("=i", -12), flags=flags))


@given(st.binary(max_size=40))
def test_a_datagram_that_is_none_of_a_dump_is_an_error_of_ours(garbage: bytes) -> None:
    """Or content that nobody can read."""
    with contextlib.suppress(NftError):
        content, _, _ = part_of(garbage)
        assert garbage.startswith(content)


def test_a_change_names_its_generation_and_its_author() -> None:
    """The author's name as he chose it."""
    notice = wire.answer(
        MessageType.NEWGEN,
        0,
        bytes.fromhex("0800010000000102"),
        bytes.fromhex("0800020000000007"),
        bytes.fromhex("08000300") + b"a\nb\0",
    )
    assert change_in(notice) == Change(0x102, 7, "a\nb")
    assert change_in(notice).generation == 0x102
    later = bytes.fromhex("08000400") + b"cdef"
    assert change_in(wire.message(MessageType.NEWGEN, notice[16:] + later)) == change_in(notice)


@given(st.binary(max_size=64))
def test_garbage_is_no_change(garbage: bytes) -> None:
    """An error of ours, whatever comes."""
    with pytest.raises(NftError):
        change_in(garbage)
