"""Messages to and from the broker survive the stream."""

import contextlib
import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_agent.broker import serve
from capture_agent.broker_protocol import (
    LENGTH_SIZE,
    MAX_FRAME,
    Done,
    DumpNfTables,
    Execute,
    Executed,
    FrameError,
    Identified,
    IdentifyNetns,
    LegacyTables,
    ListLegacyTables,
    ListProcesses,
    NfTables,
    Opened,
    OpenSockets,
    Processes,
    ReadProcess,
    Refusal,
    Refused,
    Reply,
    Request,
    RunSteps,
    SocketKind,
    body_length,
    decode_reply,
    decode_request,
    frame,
)
from capture_agent.processes import Process
from capture_agent.sandboxes import Sandbox, ToldProcess
from capture_api.node_captures import NetnsIdentity
from unit.capture_agent.captures import SANDBOX

numbers = st.integers(0, 2**32)
sandboxes = st.builds(
    Sandbox,
    pod_uid=st.text(),
    pid=numbers,
    start_time=numbers,
    netns=st.builds(NetnsIdentity, device=numbers, inode=numbers),
    pod_ips=st.lists(st.text(), max_size=2).map(tuple),
    addresses_unknown=st.booleans(),
    path=st.none() | st.text(),
)
steps = st.one_of(
    st.builds(Execute, argv=st.lists(st.text(), max_size=3).map(tuple), stdin=st.text()),
    st.just(DumpNfTables()),
    st.builds(ListLegacyTables),
)
requests = st.one_of(
    st.builds(RunSteps, sandbox=sandboxes, steps=st.lists(steps, max_size=4).map(tuple)),
    st.builds(
        OpenSockets,
        sandboxes | st.builds(ToldProcess, st.text(), numbers, st.just(("10.0.0.1",))),
        st.lists(st.sampled_from(SocketKind), max_size=4).map(tuple),
    ),
    st.builds(ListProcesses),
    st.builds(ReadProcess, pid=numbers),
    st.builds(IdentifyNetns, path=st.text()),
)
results = st.one_of(
    st.builds(Executed, returncode=numbers, stdout=st.text(), stderr=st.text()),
    st.builds(NfTables, st.binary(max_size=64)),
    st.builds(LegacyTables, st.lists(st.text(), max_size=2).map(tuple)),
)
identities = st.builds(NetnsIdentity, device=numbers, inode=numbers)
processes = st.builds(Process, pid=numbers, start_time=numbers, pod_uid=st.text(), netns=identities)
replies = st.one_of(
    st.builds(Done, st.lists(results, max_size=4).map(tuple)),
    st.builds(Opened, sandboxes, st.booleans(), addresses=st.tuples(st.binary(max_size=16))),
    st.builds(Processes, st.lists(processes, max_size=2).map(tuple)),
    st.builds(Identified, st.none() | identities),
    st.builds(Refused, st.sampled_from(Refusal), st.text()),
)


@given(requests)
def test_a_request_survives_the_stream(request: Request) -> None:
    """A frame is the length of what follows, and that."""
    framed = frame(request)
    assert body_length(framed[:LENGTH_SIZE]) == len(framed) - LENGTH_SIZE
    assert decode_request(framed[LENGTH_SIZE:]) == request


@given(replies)
def test_a_reply_survives_the_stream(reply: Reply) -> None:
    """Every kind of result and of refusal."""
    assert decode_reply(frame(reply)[LENGTH_SIZE:]) == reply


@given(st.binary(max_size=64))
def test_what_is_no_message_is_refused(body: bytes) -> None:
    """Whatever it is: nothing else is raised, and nothing else comes out."""
    for decode in (decode_request, decode_reply):
        with contextlib.suppress(FrameError):
            assert frame(decode(body))


def test_a_message_that_claims_to_be_endless_is_refused() -> None:
    """Before a byte of it is waited for."""
    assert body_length(struct.pack(">I", MAX_FRAME)) == MAX_FRAME
    with pytest.raises(FrameError, match="longer than"):
        body_length(struct.pack(">I", MAX_FRAME + 1))


def _receive(stream: socket.socket) -> Reply:
    with stream.makefile("rb") as file:
        return decode_reply(file.read(body_length(file.read(LENGTH_SIZE))))


def test_a_request_in_pieces_larger_than_any_buffer_is_answered() -> None:
    """And the broker ends when the stream does, in the middle of a request or not."""
    ours, brokers = socket.socketpair()
    gone = Sandbox(pod_uid="x", pid=2**22 + 1, start_time=1, netns=SANDBOX.netns)
    large = frame(RunSteps(gone, (Execute(("true",), "x" * 4_000_000),)))
    broker = threading.Thread(target=serve, args=(brokers, SANDBOX.netns))
    with ours, brokers:
        broker.start()
        for start in range(0, len(large), 100_003):
            ours.sendall(large[start : start + 100_003])
        reply = _receive(ours)
        ours.sendall(large[:1000])
        ours.shutdown(socket.SHUT_RDWR)
        broker.join(10)
    assert isinstance(reply, Refused)
    assert reply.refusal is Refusal.SANDBOX_GONE
    assert not broker.is_alive()
