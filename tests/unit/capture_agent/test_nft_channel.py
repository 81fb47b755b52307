"""What a channel makes of a kernel that answers late, twice, half, or not at all."""

import errno
import socket
import struct
from collections.abc import Iterator
from typing import cast

import pytest

from capture_agent.nft_channel import (
    ChannelError,
    NftChannel,
    StaleGenerationError,
    TransactionRefusedError,
)
from capture_nat.families import Family
from capture_nft import attributes, messages
from capture_nft.errors import KernelRefusalError
from capture_nft.transactions import Blob
from capture_nft.uapi import GenerationAttribute, MessageType, NfFamily
from unit.capture_nft import wire

DONE = wire.result(MessageType.DONE)
INTERRUPTED = wire.answer(MessageType.NEWTABLE, NfFamily.IPV4, flags=0x12)
CONTENT = wire.table()
RULE = wire.message(MessageType.NEWRULE, struct.pack(">BBH", NfFamily.IPV4, 0, 7))
BLOB = Blob.of([messages.create_chain(Family.IPV4, "X")])

Answer = bytes | OSError


class FakeSocket:
    """A socket whose kernel answers each request with the next list of datagrams."""

    def __init__(self, *answers: list[Answer]) -> None:
        self._answers: Iterator[list[Answer]] = iter(answers)
        self._waiting: list[Answer] = []
        self.sent: list[bytes] = []
        self.is_closed = False
        self.port = 0

    def settimeout(self, seconds: float) -> None:
        """Take no time at all."""
        assert seconds == 0

    def setsockopt(self, *_: object) -> None:
        """Take any option."""

    def connect(self, address: tuple[int, int]) -> None:
        """Be bound to the kernel."""
        assert address == (0, 0)

    def send(self, request: bytes) -> int:
        """Have the next answer wait."""
        self.sent.append(request)
        self._waiting = list(next(self._answers))
        return len(request)

    def recv(self, size: int) -> bytes:
        """Hand out one datagram, or none; the rest of one that is longer is lost."""
        if not self._waiting:
            raise BlockingIOError
        answer = self._waiting.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer[:size]

    def recvfrom(self, size: int) -> tuple[bytes, tuple[int, int]]:
        """Hand it out with its sender."""
        return self.recv(size), (self.port, 0)

    def close(self) -> None:
        """Remember it."""
        self.is_closed = True


def _channel(*answers: list[Answer]) -> tuple[NftChannel, FakeSocket]:
    fake = FakeSocket(*answers)
    return NftChannel(cast("socket.socket", fake)), fake


def generation(number: int) -> bytes:
    """Say which generation it is, as the kernel does."""
    attribute = attributes.be32(GenerationAttribute.ID, number)
    return wire.answer(MessageType.NEWGEN, NfFamily.UNSPEC, attribute)


def test_each_answer_tells_the_generation() -> None:
    """The same again, another one, and the first one once more."""
    numbers = (7, 7, 1 << 31, 7)
    answers: list[list[Answer]] = [[generation(number)] for number in numbers]
    channel, _ = _channel(*answers)
    assert tuple(channel.generation() for _ in numbers) == numbers


def test_a_dump_is_the_content_of_all_three_without_their_ends() -> None:
    """Of the generation that the first rule tells."""
    channel, fake = _channel([CONTENT, CONTENT, DONE], [CONTENT, DONE], [RULE, DONE])
    assert channel.dump(7) == CONTENT * 3 + RULE
    assert len(fake.sent) == 3


@pytest.mark.parametrize("number", [6, 8, 1 << 16])
def test_a_dump_of_another_generation_is_none(number: int) -> None:
    """Older or newer; nothing more is read then, which may be long."""
    channel, fake = _channel([CONTENT, DONE], [CONTENT, DONE], [RULE, DONE])
    assert channel.dump(number) is None
    assert len(fake.sent) == 1
    assert not fake.is_closed


def test_a_dump_of_two_generations_is_none() -> None:
    """Somebody wrote before the rules were asked for."""
    later = wire.message(MessageType.NEWRULE, struct.pack(">BBH", NfFamily.IPV4, 0, 8))
    for number in (7, 8):
        channel, _ = _channel([CONTENT, DONE], [CONTENT, DONE], [later, DONE])
        assert channel.dump(number) is None


@pytest.mark.parametrize(("number", "dump"), [(7, CONTENT * 2), (8, None)])
def test_of_a_dump_without_rules_the_generation_is_asked(number: int, dump: bytes | None) -> None:
    """The containers were read before: what they tell may be over."""
    channel, _ = _channel([CONTENT, DONE], [CONTENT, DONE], [DONE], [generation(7)])
    assert channel.dump(number) == dump


def test_who_we_are_is_told_by_the_kernel_alone() -> None:
    """Else somebody in the pod could pass for us: his changes would be no reason to look."""
    channel, fake = _channel([generation(7)], [generation(7)])
    assert channel.own_pid() == 0
    fake.port = 4711
    with pytest.raises(ChannelError, match="4711"):
        channel.own_pid()
    assert fake.is_closed


@pytest.mark.parametrize("interrupted", range(3))
def test_an_interrupted_dump_is_none(interrupted: int) -> None:
    """Read to its end: the next request is answered by its own answer."""
    answers: list[list[Answer]] = [[CONTENT, DONE], [CONTENT, DONE], [RULE, DONE]]
    answers[interrupted].insert(1, INTERRUPTED)
    channel, _ = _channel(*answers[: interrupted + 1], [generation(9)])
    assert channel.dump(7) is None
    assert channel.generation() == 9


def test_a_refused_dump_is_told() -> None:
    """With the kernel's error."""
    channel, fake = _channel([wire.result(MessageType.ERROR, errno.EPERM)])
    with pytest.raises(KernelRefusalError):
        channel.dump(7)
    assert not fake.is_closed


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [CONTENT + bytes(1 << 17), DONE],
        [OSError(errno.ENOBUFS, "no buffer")],
        [CONTENT],
    ],
    ids=["no answer", "cut off", "lost", "no end"],
)
def test_an_answer_that_can_not_be_relied_on_closes_the_channel(
    answers: list[Answer],
) -> None:
    """Its rest could be taken for the next one's."""
    channel, fake = _channel(answers)
    with pytest.raises(ChannelError, match="closed"):
        channel.dump(7)
    assert fake.is_closed


def test_a_commit_without_an_acknowledgement_is_no_success() -> None:
    """Nobody knows what became of it."""
    channel, fake = _channel([])
    with pytest.raises(ChannelError, match="transaction"):
        channel.commit(BLOB, 7)
    assert fake.is_closed


def test_an_acknowledged_commit_is_the_next_generation() -> None:
    """The batch that was sent had the generation in it."""
    acknowledgement = wire.result(MessageType.ERROR, 0, sequence=BLOB.acknowledged)
    channel, fake = _channel([acknowledgement])
    assert channel.commit(BLOB, 7) == 8
    assert fake.sent == [BLOB.at(7)]


def test_a_refused_commit_names_the_first_error() -> None:
    """An acknowledgement beside it does not count."""
    refusal = wire.result(MessageType.ERROR, errno.EEXIST, sequence=2)
    channel, _ = _channel([refusal, wire.result(MessageType.ERROR, 0, sequence=2)])
    with pytest.raises(TransactionRefusedError) as refused:
        channel.commit(BLOB, 7)
    assert (refused.value.errno, refused.value.what) == (errno.EEXIST, "NEWCHAIN X")


def test_a_stale_generation_is_an_error_of_its_own() -> None:
    """The kernel says ERESTART about the beginning of the batch."""
    channel, _ = _channel([wire.result(MessageType.ERROR, errno.ERESTART, sequence=1)])
    with pytest.raises(StaleGenerationError, match="generation 7"):
        channel.commit(BLOB, 7)
