"""Messages of ttrpc, the calls inside a connection.

A message is a header of ten bytes, length of the body and stream (unsigned, big endian), type and
flags, and the body. A call is a request and the response of the same stream; NRI knows no others.
The caller numbers its streams oddly and upwards. Source: containerd/ttrpc, PROTOCOL.md.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from capture_nri import ttrpc_pb2
from capture_nri.errors import NriProtocolError

M = TypeVar("M", bound=Message)

MOST: Final = 4 << 20
"""Bytes of a body: ttrpc's own limit."""

_HEADER: Final = struct.Struct(">IIBB")
HEADER_SIZE: Final = _HEADER.size
_REQUEST: Final = 1
_RESPONSE: Final = 2


class Code(IntEnum):
    """The gRPC status codes that we answer with."""

    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12


@dataclass(frozen=True, slots=True)
class Request:
    """A call of the peer's; `payload` is the method's own message."""

    stream: int
    service: str
    method: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a call of ours; a code other than 0 is a failure, explained by `message`."""

    stream: int
    code: int
    message: str


def request(stream: int, service: str, method: str, body: Message) -> bytes:
    """Encode a call."""
    called = ttrpc_pb2.Request(service=service, method=method, payload=body.SerializeToString())
    return _message(stream, _REQUEST, called)


def success(stream: int, body: Message) -> bytes:
    """Encode the answer to a call that was served."""
    return _message(stream, _RESPONSE, ttrpc_pb2.Response(payload=body.SerializeToString()))


def failure(stream: int, code: Code, message: str) -> bytes:
    """Encode the answer to a call that was not served."""
    status = ttrpc_pb2.Status(code=code, message=message)
    return _message(stream, _RESPONSE, ttrpc_pb2.Response(status=status))


def _message(stream: int, kind: int, envelope: Message) -> bytes:
    body = envelope.SerializeToString()
    return _HEADER.pack(len(body), stream, kind, 0) + body


def parse(kind: type[M], data: bytes) -> M:
    """Decode a protobuf message.

    Raises:
        NriProtocolError: it is none.
    """
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise NriProtocolError(f"a malformed {kind.DESCRIPTOR.name}: {error}") from error
    return message


class Messages:
    """Cuts one connection into messages, and holds the last one until it is complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the payload of a frame."""
        self._buffer += data

    def __iter__(self) -> Iterator[Request | Response]:
        """Give each complete message.

        Raises:
            NriProtocolError: a header that NRI has no use for, or a malformed body.
        """
        while len(self._buffer) >= HEADER_SIZE:
            length, stream, kind, flags = _HEADER.unpack_from(self._buffer)
            _check(length, kind, flags)
            end = HEADER_SIZE + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[HEADER_SIZE:end])
            del self._buffer[:end]
            yield _decoded(stream, kind, body)


def _check(length: int, kind: int, flags: int) -> None:
    if length > MOST:
        raise NriProtocolError(f"a message of {length} bytes, where at most {MOST} are allowed")
    if kind not in (_REQUEST, _RESPONSE) or flags:
        raise NriProtocolError(
            f"a message of type {kind} with flags {flags:#x}, where only plain requests and "
            "responses are known"
        )


def _decoded(stream: int, kind: int, body: bytes) -> Request | Response:
    if kind == _REQUEST:
        called = parse(ttrpc_pb2.Request, body)
        return Request(stream, called.service, called.method, called.payload)
    status = parse(ttrpc_pb2.Response, body).status
    return Response(stream, status.code, status.message)
