"""Batches say their generation, number their messages, and ask for one acknowledgement."""

import struct

import pytest

from capture_nat.families import Family
from capture_nft import messages
from capture_nft.errors import MalformedDumpError
from capture_nft.reading import rule_of
from capture_nft.replies import Reply, replies_in
from capture_nft.transactions import Blob, next_generation
from capture_nft.uapi import MessageType
from unit.capture_nft import wire

V4 = Family.IPV4
RULE = rule_of("-A X -j RETURN")

BASE_CHAIN_OF_NFT = bytes.fromhex(
    "080001006e6174000b0003004f55545055540000"
    "14000480080001000000000308000200ffffff9c080007006e617400"
    "18000c000012747261666669636361707475 72652e696f00".replace(" ", "")
)  # fmt: skip
"""What `nft add chain` sent, without a policy and in the order of iptables."""


def _headers(data: bytes) -> list[tuple[int, int, int]]:
    found, start = [], 0
    while start < len(data):
        length, kind, flags, sequence = struct.unpack_from("=IHHI", data, start)
        found.append((kind, flags, sequence))
        start += length
    return found


def test_a_base_chain_has_its_hook_its_mark_and_no_policy() -> None:
    """A policy would take the place of one that is there."""
    chain = messages.add_chain(
        V4, "OUTPUT", comment="trafficcapture.io", hook=messages.HOOKS["OUTPUT"]
    )
    assert chain[20:] == BASE_CHAIN_OF_NFT


def test_a_batch_is_numbered_and_acknowledged_once() -> None:
    """Begin and end carry the subsystem, the last message in between asks for the answer."""
    blob = Blob.of([messages.add_table(V4), messages.add_chain(V4, "X")])
    headers = _headers(blob.data)
    assert [kind for kind, _, _ in headers] == [
        MessageType.BATCH_BEGIN,
        MessageType.NEWTABLE,
        MessageType.NEWCHAIN,
        MessageType.BATCH_END,
    ]
    assert [sequence for _, _, sequence in headers] == [1, 2, 3, 4]
    assert [bool(flags & 4) for _, flags, _ in headers] == [False, False, True, False]
    assert blob.acknowledged == 3


def test_a_generation_is_all_that_differs_from_pod_to_pod() -> None:
    """It is in the first message, where the kernel looks for it."""
    blob = Blob.of([messages.add_table(V4)])
    batch = blob.at(0x01020304)
    assert batch[:28] == bytes.fromhex(
        "1c0000001000010001000000000000000000000a0800010001020304"
    )  # fmt: skip
    assert batch[28:] == blob.data[28:]


def test_a_transaction_without_a_generation_is_refused() -> None:
    """The kernel would take 0 as a wish not to check."""
    with pytest.raises(ValueError, match="generation 0"):
        Blob.of([messages.add_table(V4)]).at(0)


def test_a_transaction_of_nothing_is_refused() -> None:
    """Nobody would acknowledge it."""
    with pytest.raises(ValueError, match="no messages"):
        Blob.of([])


@pytest.mark.parametrize(
    ("message", "always"),
    [
        (messages.add_table(V4), False),
        (messages.wake_table(V4), False),
        (messages.add_chain(V4, "X"), False),
        (messages.flush_chain(V4, "X"), False),
        (messages.create_chain(V4, "X"), True),
        (messages.delete_chain(V4, "X"), True),
        (messages.append_rule(V4, "X", RULE), True),
        (messages.insert_rule(V4, "X", RULE), True),
        (messages.delete_rule(V4, "X", 7), True),
    ],
)
def test_a_transaction_knows_whether_it_always_changes_something(
    message: bytes,
    always: bool,  # noqa: FBT001
) -> None:
    """What may be so already makes no new generation."""
    assert Blob.of([messages.add_table(V4), message]).changes is always


def test_what_was_refused_is_named() -> None:
    """By the number of the message in the kernel's answer."""
    blob = Blob.of([messages.delete_chain(V4, "X"), messages.append_rule(V4, "Y", RULE)])
    assert [blob.what(n) for n in (1, 2, 3, 99)] == [
        "BATCH_BEGIN",
        "DELCHAIN X",
        "NEWRULE Y",
        "an unknown message",
    ]


def test_the_last_generation_is_followed_by_the_first() -> None:
    """0 is none: it means that nothing is to be checked."""
    assert [next_generation(each) for each in (1, 0xFFFFFFFF)] == [2, 1]


def test_answers_are_read_from_one_datagram() -> None:
    """Errors and the acknowledgement, each with its message's number; others are passed over."""
    datagram = (
        wire.result(MessageType.ERROR, 2, sequence=5)
        + wire.table()
        + wire.result(MessageType.ERROR, 0, sequence=6)
    )
    assert list(replies_in(datagram)) == [Reply(5, 2), Reply(6, 0)]


@pytest.mark.parametrize("size", [1, 15, 17, 35])
def test_an_answer_that_is_cut_off_is_malformed(size: int) -> None:
    """Nothing is read beyond its end."""
    with pytest.raises(MalformedDumpError):
        list(replies_in(wire.result(MessageType.ERROR)[:size]))
