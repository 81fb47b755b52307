"""Lists and answers of the kernel, played by the other end of a pair of sockets."""

import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from capture_agent import netlink_requests
from capture_agent.netlink_requests import acknowledged, listed, payloads

KIND = 20
INTERRUPTED = 0x10


def message(kind: int, payload: bytes, flags: int = 0, sequence: int = 1) -> bytes:
    """Write a message as the kernel does."""
    return struct.pack("=IHHII", 16 + len(payload), kind, flags, sequence, 0) + payload


DONE = message(3, bytes(4))
FIRST, SECOND = message(KIND, b"first one"), message(KIND, b"another")
PADDED = FIRST + bytes(-len(FIRST) % 4)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give our end, which does not wait, and the kernel's."""
    ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, kernels:
        ours.settimeout(0)
        yield ours, kernels


Ends = tuple[socket.socket, socket.socket]


def test_a_list_comes_in_parts(ends: Ends) -> None:
    """With the end in a part of its own or behind the last message; then nothing is left."""
    ours, kernels = ends
    for parts in ([PADDED, SECOND, DONE], [PADDED + SECOND + b"\0" + DONE]):
        for part in parts:
            kernels.send(part)
        dump = listed(ours, KIND, b"what")
        assert [*payloads(dump)] == [b"first one", b"another"]
        assert kernels.recv(99) == message(KIND, b"what", flags=0x301)
    with pytest.raises(BlockingIOError):
        ours.recv(1)


def test_a_list_that_changed_meanwhile_is_asked_for_again(ends: Ends) -> None:
    """It may miss something, or have it twice."""
    ours, kernels = ends
    for part in (PADDED, message(KIND, b"else", flags=INTERRUPTED), DONE, SECOND, DONE):
        kernels.send(part)
    assert [*payloads(listed(ours, KIND, b""))] == [b"another"]


def test_a_list_that_keeps_changing_is_given_up(ends: Ends) -> None:
    """Somebody else may be asked, or the next time."""
    ours, kernels = ends
    for _ in range(5):
        kernels.send(message(KIND, b"else", flags=INTERRUPTED))
        kernels.send(DONE)
    with pytest.raises(InterruptedError):
        listed(ours, KIND, b"")


@pytest.mark.parametrize(
    ("said", "number"),
    [
        (message(2, struct.pack("=i", -errno.EPERM) + bytes(16)), errno.EPERM),
        (message(3, struct.pack("=i", -errno.EINVAL)), errno.EINVAL),
        (b"nonsense that is no message", errno.EBADMSG),
    ],
)
def test_a_list_that_is_refused_is_an_error(ends: Ends, said: bytes, number: int) -> None:
    """With the kernel's number."""
    ours, kernels = ends
    kernels.send(said)
    with pytest.raises(OSError) as raised:  # noqa: PT011 - the number is looked at
        listed(ours, KIND, b"")
    assert raised.value.errno == number


def test_a_list_without_end_is_given_up(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its length is up to whoever is root in a pod."""
    ours, kernels = ends
    monkeypatch.setattr(netlink_requests, "LONGEST_LIST", 3 * len(PADDED))
    for _ in range(4):
        kernels.send(PADDED)
    with pytest.raises(OSError, match="a list of more than"):
        listed(ours, KIND, b"")


def test_what_is_done_is_acknowledged(ends: Ends) -> None:
    """Or refused, with the kernel's number."""
    ours, kernels = ends
    kernels.send(message(2, struct.pack("=i", 0) + bytes(16)))
    acknowledged(ours, KIND, 0x600, b"do")
    assert kernels.recv(99) == message(KIND, b"do", flags=0x605)
    kernels.send(message(2, struct.pack("=i", -errno.EEXIST) + bytes(16)))
    with pytest.raises(FileExistsError):
        acknowledged(ours, KIND, 0, b"do")
