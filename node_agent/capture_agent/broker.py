"""The broker, which alone enters network namespaces: what it does with the agent's requests.

A process of its own, with a single thread, forked by the zygote (`capture_agent.zygote`), because
`setns` moves a thread and nothing that an event loop or a thread pool does may ever happen in a pod
by accident. It answers one request at a time and ends when the agent closes the stream, or when the
agent says what is no message. It decides nothing.
"""

import os
import socket
from collections.abc import Iterable

from capture_agent.broker_protocol import (
    LENGTH_SIZE,
    MAX_DESCRIPTORS,
    Done,
    FrameError,
    Identified,
    IdentifyNetns,
    ListProcesses,
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
    decode_request,
    frame,
)
from capture_agent.broker_sockets import close_all, open_all
from capture_agent.broker_steps import take_all
from capture_agent.netns_entry import Entered, RefusedError, entered
from capture_agent.netns_paths import opened_netns
from capture_agent.processes import netns_identity, pod_processes, read_process
from capture_api.node_captures import NetnsIdentity

Answer = tuple[Reply, list[int]]
"""A reply and the descriptors that go with it."""


def serve(stream: socket.socket, host: NetnsIdentity) -> None:
    """Answer requests until the agent closes the stream; `host` is never entered.

    Raises:
        FrameError: the agent said what is no message.
    """
    while (header := _receive(stream, LENGTH_SIZE)) is not None:
        body = _receive(stream, body_length(header))
        if body is None:
            return
        reply, descriptors = answer(decode_request(body), host)
        try:
            _send(stream, _framed(reply), descriptors)
        finally:
            close_all(descriptors)


def answer(request: Request, host: NetnsIdentity) -> Answer:
    """Do what a request says, or say why not."""
    try:
        return _answer(request, host)
    except RefusedError as error:
        return Refused(error.refusal, str(error)), []
    except Exception as error:  # noqa: BLE001 - what is in a pod must not end the broker of all pods
        return Refused(Refusal.STEP_FAILED, f"{type(error).__name__}: {str(error)!a}"), []


def _answer(request: Request, host: NetnsIdentity) -> Answer:
    match request:
        case RunSteps(sandbox, steps):
            with entered(sandbox, host) as there:
                return Done(tuple(take_all(steps, there.user_namespace))), []
        case OpenSockets(sandbox, kinds):
            if len(kinds) > MAX_DESCRIPTORS:
                raise ValueError(f"{len(kinds)} sockets are more than {MAX_DESCRIPTORS}")
            with entered(sandbox, host) as there:
                return _opened(there, kinds)
        case ListProcesses():
            return Processes(tuple(pod_processes())), []
        case ReadProcess(pid):
            process = read_process(pid)
            return Processes((process,) if process else ()), []
        case IdentifyNetns(path):
            with opened_netns(path) as netns:
                return Identified(_identity(netns)), []


def _opened(there: Entered, kinds: Iterable[SocketKind]) -> Answer:
    descriptors, absent = open_all(kinds, there.user_namespace)
    addresses = tuple(there.addresses) if there.sandbox.addresses_unknown else ()
    is_foreign = there.user_namespace is not None
    return Opened(there.sandbox, is_foreign, absent, addresses), descriptors


def _identity(netns: int | None) -> NetnsIdentity | None:
    return None if netns is None else netns_identity(os.fstat(netns))


def _framed(reply: Reply) -> bytes:
    try:
        return frame(reply)
    except FrameError as error:
        return frame(Refused(Refusal.STEP_FAILED, str(error)))


def _send(stream: socket.socket, message: bytes, descriptors: list[int]) -> None:
    sent = socket.send_fds(stream, [message], descriptors) if descriptors else 0
    stream.sendall(memoryview(message)[sent:])


def _receive(stream: socket.socket, size: int) -> bytes | None:
    """Receive exactly `size` bytes; None at the end of the stream."""
    received = bytearray()
    while len(received) < size:
        part = stream.recv(size - len(received))
        if not part:
            return None
        received += part
    return bytes(received)
