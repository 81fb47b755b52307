"""A plugin's side of one connection to a runtime, without the connection.

Bytes that were received go in, events come out; methods turn what we want to say into the bytes to
send. Nothing here reads, writes or waits.

1. `register` once. The runtime then configures, synchronizes and calls, in this order; it waits for
   each answer, and each call gets exactly one: `accept`, `refuse` or `unimplemented`.
2. After a `NriProtocolError` the session is over: the same error comes again.
3. What a session holds is bounded: one frame and one message of each connection (4 MiB each), and
   `MOST_CALLS` streams. How the bytes are cut on their way makes no difference.
4. What comes on connections that nobody opened is skipped, as containerd's own plugins do.
"""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from google.protobuf.message import Message

from capture_nri import mux, nri_pb2, ttrpc
from capture_nri.calls import call
from capture_nri.errors import NriProtocolError
from capture_nri.events import (
    Call,
    Configure,
    Event,
    Lifecycle,
    Registered,
    RegistrationRefused,
    Synchronize,
    UnknownMethod,
)

RUNTIME_SERVICE: Final = "nri.pkg.api.v1alpha1.Runtime"

MOST_CALLS: Final = 64
"""Calls that may wait for an answer at a time; runtimes make one."""
LONGEST_MESSAGE: Final = 1000
"""Characters of a refusal; an Event on the pod holds about as many."""

_REGISTRATION: Final = 1
"""The stream of our only call."""


class PluginSession:
    """What was said so far on one connection; a new connection needs a new session."""

    def __init__(self) -> None:
        self._frames = mux.Frames()
        self._messages = MappingProxyType(
            {mux.PLUGIN: ttrpc.Messages(), mux.RUNTIME: ttrpc.Messages()}
        )
        self._registering = False
        self._open: set[int] = set()
        self._last_stream = 0
        self._broken: NriProtocolError | None = None

    def register(self, name: str, index: str) -> bytes:
        """Ask to be called; the runtime calls its plugins in the order of their indices, 00-99."""
        self._registering = True
        body = nri_pb2.RegisterPluginRequest(plugin_name=name, plugin_idx=index)
        return mux.frame(
            mux.RUNTIME, ttrpc.request(_REGISTRATION, RUNTIME_SERVICE, "RegisterPlugin", body)
        )

    def receive(self, data: bytes) -> Iterator[Event]:
        """Take bytes as they were received; give what they complete, in order.

        To be iterated to its end before the next call.

        Raises:
            NriProtocolError: from the iterator, after the events before what is wrong.
        """
        self._frames.feed(data)
        return self._events()

    def accept(self, accepted: Call) -> bytes:
        """Answer that all is well: `Configure` is answered with our subscription."""
        return self._answer(accepted.stream, ttrpc.success(accepted.stream, _outcome(accepted)))

    def refuse(self, refused: Call, message: str) -> bytes:
        """Answer with an error, which fails a `RUN_POD_SANDBOX` or `CREATE_CONTAINER`.

        The message ends up in an Event on the pod, cut to `LONGEST_MESSAGE`; the kubelet tries
        again.
        """
        code = ttrpc.Code.FAILED_PRECONDITION
        response = ttrpc.failure(refused.stream, code, message[:LONGEST_MESSAGE])
        return self._answer(refused.stream, response)

    def unimplemented(self, unknown: UnknownMethod) -> bytes:
        """Answer that we don't have this method."""
        code, message = ttrpc.Code.UNIMPLEMENTED, f"no method {unknown.method[:LONGEST_MESSAGE]}"
        return self._answer(unknown.stream, ttrpc.failure(unknown.stream, code, message))

    def _answer(self, stream: int, response: bytes) -> bytes:
        self._open.remove(stream)
        return mux.frame(mux.PLUGIN, response)

    def _events(self) -> Iterator[Event]:
        if self._broken is not None:
            raise self._broken
        try:
            for connection, payload in self._frames:
                yield from self._heard(connection, payload)
        except NriProtocolError as error:
            self._broken = error
            raise

    def _heard(self, connection: int, payload: bytes) -> Iterator[Event]:
        if (messages := self._messages.get(connection)) is None:
            return
        messages.feed(payload)
        for message in messages:
            match message:
                case ttrpc.Request() if connection == mux.PLUGIN:
                    yield self._called(message)
                case ttrpc.Response() if connection == mux.RUNTIME:
                    yield self._registered(message)
                case _:
                    raise NriProtocolError(f"a {type(message).__name__} on the wrong connection")

    def _called(self, request: ttrpc.Request) -> Event:
        if request.stream % 2 == 0 or request.stream <= self._last_stream:
            raise NriProtocolError(
                f"a call on stream {request.stream} after {self._last_stream}: streams of calls "
                "are odd and go up"
            )
        if len(self._open) >= MOST_CALLS:
            raise NriProtocolError(f"more than {MOST_CALLS} calls without waiting for an answer")
        self._last_stream = request.stream
        self._open.add(request.stream)
        return call(request)

    def _registered(self, response: ttrpc.Response) -> Event:
        if not self._registering or response.stream != _REGISTRATION:
            raise NriProtocolError(f"an answer on stream {response.stream} to a call never made")
        self._registering = False
        if response.code:
            return RegistrationRefused(response.code, response.message)
        return Registered()


_SUBSCRIPTION: Final = sum(1 << (moment - 1) for moment in Lifecycle)


def _outcome(accepted: Call) -> Message:
    match accepted:
        case Configure():
            return nri_pb2.ConfigureResponse(events=_SUBSCRIPTION)
        case Synchronize(more=more):
            return nri_pb2.SynchronizeResponse(more=more)
        case _:
            return nri_pb2.Empty()
