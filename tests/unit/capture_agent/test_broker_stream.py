"""What a broker says is taken for a reply only if it is one; descriptors never stay behind."""

import asyncio
import os
import socket
import struct
from collections.abc import Iterator

import pytest

from capture_agent.broker_protocol import (
    MAX_DESCRIPTORS,
    MAX_FRAME,
    FrameError,
    ListProcesses,
    Opened,
    Processes,
    frame,
)
from capture_agent.broker_stream import BrokerStream
from unit.capture_agent.captures import SANDBOX

REQUEST = frame(ListProcesses())
REPLY = frame(Opened(SANDBOX, own_user_namespace=False))


class Ends:
    """A stream, and the broker's end of it."""

    def __init__(self) -> None:
        ours, self.brokers = socket.socketpair()
        ours.settimeout(0)
        self.stream = BrokerStream(ours)

    def close(self) -> None:
        """Close both ends."""
        self.stream.connection.close()
        self.brokers.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A connected stream."""
    ends = Ends()
    yield ends
    ends.close()


@pytest.fixture
def descriptor() -> Iterator[int]:
    """Something that is open."""
    descriptor = os.memfd_create("sent")
    yield descriptor
    os.close(descriptor)


def open_descriptors() -> int:
    """Count what this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no file system


async def test_a_reply_comes_with_its_descriptors(ends: Ends, descriptor: int) -> None:
    """They survive no exec, and are the caller's."""
    socket.send_fds(ends.brokers, [REPLY], [descriptor, descriptor])
    reply, descriptors = await ends.stream.ask(REQUEST)
    assert reply == Opened(SANDBOX, own_user_namespace=False)
    assert [os.get_inheritable(received) for received in descriptors] == [False, False]
    for received in descriptors:
        os.close(received)


async def test_a_reply_in_pieces_is_one(ends: Ends) -> None:
    """However it is cut."""
    asked = asyncio.create_task(ends.stream.ask(REQUEST))
    framed = frame(Processes(()))
    for start in range(len(framed)):
        ends.brokers.send(framed[start : start + 1])
        await asyncio.sleep(0)
    assert await asked == (Processes(()), [])


FORGED = {
    "endless": struct.pack(">I", MAX_FRAME + 1),
    "no message": struct.pack(">I", 3) + b"abc",
    "of no known kind": struct.pack(">I", 7) + b"\x81\xa4type\xa0",
}


@pytest.mark.parametrize("forged", FORGED)
async def test_a_forged_reply_ends_the_session(ends: Ends, descriptor: int, forged: str) -> None:
    """And what came with it is closed."""
    before = open_descriptors()
    socket.send_fds(ends.brokers, [FORGED[forged]], [descriptor])
    with pytest.raises(FrameError):
        await ends.stream.ask(REQUEST)
    assert open_descriptors() == before


@pytest.mark.parametrize("length", [1, 4, len(REPLY) - 1])
async def test_a_truncated_reply_ends_the_session(ends: Ends, descriptor: int, length: int) -> None:
    """The broker died in the midst of it."""
    before = open_descriptors()
    socket.send_fds(ends.brokers, [REPLY[:length]], [descriptor])
    ends.brokers.shutdown(socket.SHUT_WR)
    with pytest.raises(EOFError):
        await ends.stream.ask(REQUEST)
    assert open_descriptors() == before


async def test_more_descriptors_than_fit_end_the_session(ends: Ends, descriptor: int) -> None:
    """The kernel drops the rest of them; those that came are closed."""
    before = open_descriptors()
    socket.send_fds(ends.brokers, [REPLY], [descriptor] * (MAX_DESCRIPTORS + 4))
    with pytest.raises(FrameError, match="descriptors"):
        await ends.stream.ask(REQUEST)
    assert open_descriptors() == before


async def test_a_cancelled_request_keeps_no_descriptor(ends: Ends, descriptor: int) -> None:
    """One that had come already, before its reply was complete."""
    before = open_descriptors()
    socket.send_fds(ends.brokers, [REPLY[:5]], [descriptor])
    asked = asyncio.create_task(ends.stream.ask(REQUEST))
    await asyncio.sleep(0)  # it reads what is there, and waits for the rest
    assert open_descriptors() == before + 1
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert open_descriptors() == before


def test_only_a_silent_broker_is_asked(ends: Ends) -> None:
    """One that has ended, or said what nobody asked, is replaced."""
    assert ends.stream.is_quiet
    ends.brokers.send(b"x")
    assert not ends.stream.is_quiet
    ends.stream.connection.recv(1)
    ends.brokers.close()
    assert not ends.stream.is_quiet
