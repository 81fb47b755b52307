"""What the agent and its broker say to each other: frames of a length and a MessagePack value.

A request names a sandbox and the steps to take in its network namespace, in order. The answer is
the steps' results, or a refusal when the namespace is not, or no longer, what the request says.
"""

import struct
from enum import StrEnum

import msgspec

from capture_agent.sandboxes import Sandbox

_LENGTH = struct.Struct(">I")
LENGTH_SIZE = _LENGTH.size


MAX_OUTPUT = 4 * 1024 * 1024
"""Bytes of output, some 40,000 rules: what is in a pod's table is up to the pod."""


class Execute(msgspec.Struct, frozen=True, tag=True):
    """Run a program to its end, at most `timeout` seconds, with `stdin` as its input.

    One that prints more than `MAX_OUTPUT` is killed.
    """

    argv: tuple[str, ...]
    stdin: str = ""
    timeout: float = 5.0


class ListChains(msgspec.Struct, frozen=True, tag=True):
    """List the chains of the nf_tables table `nat` of one address family with their comments."""

    family: int
    """AF_INET or AF_INET6."""


class ListLegacyTables(msgspec.Struct, frozen=True, tag=True):
    """List the legacy xtables tables that exist, without loading a module to find out."""

    family: int


class ListListeners(msgspec.Struct, frozen=True, tag=True):
    """List the TCP sockets in LISTEN state of both families."""


Step = Execute | ListChains | ListLegacyTables | ListListeners


class Executed(msgspec.Struct, frozen=True, tag=True):
    """How a program ended; output that is not UTF-8 has replacement characters in it."""

    returncode: int
    stdout: str
    stderr: str


class Chain(msgspec.Struct, frozen=True, tag=True):
    """One nf_tables chain and the comment on it, "" without one."""

    name: str
    comment: str


class Chains(msgspec.Struct, frozen=True, tag=True):
    """The chains of a table; empty also when the table does not exist."""

    chains: tuple[Chain, ...]


class LegacyTables(msgspec.Struct, frozen=True, tag=True):
    """Names of the legacy tables, e.g. `nat`."""

    names: tuple[str, ...]


class Listener(msgspec.Struct, frozen=True, tag=True):
    """A listening TCP socket: its address ("0.0.0.0" or "::" for every one) and its port."""

    address: str
    port: int


class Listeners(msgspec.Struct, frozen=True, tag=True):
    """Every listening TCP socket of the namespace."""

    listeners: tuple[Listener, ...]


StepResult = Executed | Chains | LegacyTables | Listeners


class Request(msgspec.Struct, frozen=True):
    """Enter the sandbox's network namespace, take the steps, leave."""

    sandbox: Sandbox
    steps: tuple[Step, ...]


class Refusal(StrEnum):
    """Why the broker did not enter a namespace, or gave up there."""

    SANDBOX_GONE = "SandboxGone"
    """The process has ended: find the sandbox again."""
    SANDBOX_CHANGED = "SandboxChanged"
    """The PID belongs to another process, pod or namespace now: find the sandbox again."""
    HOST_NETWORK = "HostNetwork"
    """The namespace is the host's."""
    ADDRESS_MISSING = "AddressMissing"
    """None of the pod's addresses is in the namespace."""
    STEP_FAILED = "StepFailed"
    """A step could not be taken, e.g. its program is missing or hangs."""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """No step was taken, or the last one failed."""

    refusal: Refusal
    message: str


class Done(msgspec.Struct, frozen=True, tag=True):
    """One result a step, in the order of the request."""

    results: tuple[StepResult, ...]


Reply = Done | Refused


def frame(message: Request | Reply) -> bytes:
    """Encode a message for the stream."""
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body


def body_length(header: bytes) -> int:
    """Read the length of the message that follows, in bytes."""
    (length,) = _LENGTH.unpack(header)
    return int(length)


def decode_request(body: bytes) -> Request:
    """Read a request."""
    return msgspec.msgpack.decode(body, type=Request)


def decode_reply(body: bytes) -> Reply:
    """Read a reply."""
    decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
    return decoder.decode(body)
