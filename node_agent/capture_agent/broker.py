"""The broker, which alone enters network namespaces.

Run by the agent as ``python -m capture_agent.broker FD DEVICE INODE``: the stream socket to answer
on, and the network namespace of the node, which is never entered.

A process of its own, with a single thread, started by the agent, because `setns` moves a thread and
nothing that an event loop or a thread pool does may ever happen in a pod by accident. It answers
one request at a time and ends when the agent closes the stream. It decides nothing.
"""

import contextlib
import resource
import signal
import socket
import sys

from capture_agent.broker_protocol import (
    LENGTH_SIZE,
    MAX_OUTPUT,
    Done,
    Refusal,
    Refused,
    Reply,
    Request,
    body_length,
    decode_request,
    frame,
)
from capture_agent.broker_steps import addresses, take
from capture_agent.netns_entry import RefusedError, entered
from capture_agent.sandboxes import Sandbox
from capture_api.node_captures import NetnsIdentity


def serve(stream: socket.socket, host: NetnsIdentity) -> None:
    """Answer requests until the agent closes the stream."""
    while (header := _receive(stream, LENGTH_SIZE)) is not None:
        body = _receive(stream, body_length(header))
        if body is None:
            return
        stream.sendall(frame(answer(decode_request(body), host)))


def answer(request: Request, host: NetnsIdentity) -> Reply:
    """Enter the sandbox of a request, take its steps, leave."""
    try:
        with entered(request.sandbox, host):
            _check_addresses(request.sandbox)
            return Done(tuple(take(step) for step in request.steps))
    except RefusedError as error:
        return Refused(error.refusal, str(error))
    except Exception as error:  # noqa: BLE001 - what is in a pod must not end the broker of all pods
        return Refused(Refusal.STEP_FAILED, f"{type(error).__name__}: {str(error)!a}")


def _check_addresses(sandbox: Sandbox) -> None:
    if addresses().isdisjoint(sandbox.pod_ips):
        raise RefusedError(
            Refusal.ADDRESS_MISSING,
            f"none of the pod's addresses ({', '.join(sandbox.pod_ips) or 'none known'}) is in its "
            "network namespace",
        )


def _receive(stream: socket.socket, size: int) -> bytes | None:
    """Receive exactly `size` bytes; None at the end of the stream."""
    received = bytearray()
    while len(received) < size:
        part = stream.recv(size - len(received))
        if not part:
            return None
        received += part
    return bytes(received)


if __name__ == "__main__":
    # The agent stops its broker by closing the stream, after the request it is serving.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Its own files are sockets: this is for what the programs that it runs print.
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_OUTPUT, MAX_OUTPUT))
    fd, device, inode = map(int, sys.argv[1:])
    with contextlib.suppress(ConnectionError), socket.socket(fileno=fd) as agent:
        serve(agent, NetnsIdentity(device=device, inode=inode))
