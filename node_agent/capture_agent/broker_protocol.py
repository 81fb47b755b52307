"""What the agent and its broker say to each other: frames of a length and a MessagePack value.

Most requests name a sandbox and what to do in its network namespace: steps to take, in order, or
sockets to open. The answer is the steps' results, or that the descriptors come with it
(SCM_RIGHTS), or a refusal when the namespace is not, or no longer, what the request says. The other
requests read /proc, which takes a capability that the agent does not have.
"""

import socket
import struct
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from capture_agent.processes import Process
from capture_agent.sandboxes import Sandbox, ToldProcess
from capture_api.node_captures import NetnsIdentity
from capture_nat.families import Family

M = TypeVar("M")

_LENGTH = struct.Struct(">I")
LENGTH_SIZE = _LENGTH.size

MAX_OUTPUT = 4 * 1024 * 1024
"""Bytes of output, some 40,000 rules: what is in a pod's table is up to the pod."""

MAX_FRAME: Final = 32 * 1024 * 1024
"""Bytes of one message: the output of a program twice, each byte of it replaced by three, and
more. Whatever claims to be longer is forged."""

MAX_DESCRIPTORS: Final = 16
"""With one message."""


class Execute(msgspec.Struct, frozen=True, tag=True):
    """Run a program to its end, at most `timeout` seconds, with `stdin` as its input.

    One that prints more than `MAX_OUTPUT` is killed. If it `must_succeed` and does not, no later
    step is taken.
    """

    argv: tuple[str, ...]
    stdin: str = ""
    timeout: float = 5.0
    must_succeed: bool = False


class DumpNfTables(msgspec.Struct, frozen=True, tag=True):
    """Dump what nf_tables hold, of every family."""


class ListLegacyTables(msgspec.Struct, frozen=True, tag=True):
    """List the legacy xtables tables that exist, without loading a module to find out."""

    family: Family


Step = Execute | DumpNfTables | ListLegacyTables


class Executed(msgspec.Struct, frozen=True, tag=True):
    """How a program ended; output that is not UTF-8 has replacement characters in it."""

    returncode: int
    stdout: str
    stderr: str


class NfTables(msgspec.Struct, frozen=True, tag=True):
    """Dumps of tables, chains and rules, as `capture_nft.snapshots.decode` reads them."""

    dump: bytes


class LegacyTables(msgspec.Struct, frozen=True, tag=True):
    """Names of the legacy tables, e.g. `nat`."""

    names: tuple[str, ...]


StepResult = Executed | NfTables | LegacyTables


class SocketKind(StrEnum):
    """What can be opened in a sandbox's network namespace, and stays of it."""

    NETFILTER = "Netfilter"
    """NETLINK_NETFILTER: nf_tables and its notifications."""
    ROUTE = "Route"
    """NETLINK_ROUTE: addresses and links."""
    SOCK_DIAG = "SockDiag"
    """NETLINK_SOCK_DIAG: sockets."""
    CONNTRACK = "Conntrack"
    """NETLINK_NETFILTER once more: connection tracking on a socket of its own."""
    TCP_IPV4 = "TCPIPv4"
    """TCP over IPv4, not connected: who connects it does so from inside the pod, whose own rules
    its packets meet, as those of a process of user 0 there."""
    TCP_IPV6 = "TCPIPv6"
    """The same over IPv6."""
    LEGACY_IPV4 = "LegacyIPv4"
    """The list of legacy IPv4 tables, a file; absent from a kernel without such tables."""
    LEGACY_IPV6 = "LegacyIPv6"
    """The same of IPv6."""


NETLINK_NETFILTER: Final = 12
"""`socket` does not have it."""

NETLINK_SOCK_DIAG: Final = 4
"""The same."""

SOCKETS: Final = {
    SocketKind.NETFILTER: (socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER),
    SocketKind.ROUTE: (socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE),
    SocketKind.SOCK_DIAG: (socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG),
    SocketKind.CONNTRACK: (socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER),
    SocketKind.TCP_IPV4: (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP),
    SocketKind.TCP_IPV6: (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP),
}
"""Family, type and protocol of the kinds that are sockets."""

LEGACY_LISTS: Final = {
    SocketKind.LEGACY_IPV4: Family.IPV4,
    SocketKind.LEGACY_IPV6: Family.IPV6,
}
"""The families of the kinds that are lists of legacy tables."""


class RunSteps(msgspec.Struct, frozen=True, tag=True):
    """Enter the sandbox's network namespace, take the steps, leave."""

    sandbox: Sandbox
    steps: tuple[Step, ...]


class OpenSockets(msgspec.Struct, frozen=True, tag=True):
    """Enter the sandbox's network namespace, open a descriptor of each kind, leave."""

    sandbox: Sandbox | ToldProcess
    kinds: tuple[SocketKind, ...]


class ListProcesses(msgspec.Struct, frozen=True, tag=True):
    """List the processes of all pods of the node."""


class ReadProcess(msgspec.Struct, frozen=True, tag=True):
    """Read one process: whose it is, and where."""

    pid: int


class IdentifyNetns(msgspec.Struct, frozen=True, tag=True):
    """Identify the network namespace that a runtime keeps under a path."""

    path: str


Request = RunSteps | OpenSockets | ListProcesses | ReadProcess | IdentifyNetns


class Refusal(StrEnum):
    """Why the broker did not enter a namespace, or gave up there."""

    SANDBOX_GONE = "SandboxGone"
    """The process has ended, or the path leads nowhere: find the sandbox again."""
    SANDBOX_CHANGED = "SandboxChanged"
    """The PID or the path leads to another process, pod or namespace now: find it again."""
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
    """One result a step, in the order of the request; fewer after one that had to succeed."""

    results: tuple[StepResult, ...]


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The descriptors come with this message, in the order of the request, the `absent` left out.

    `sandbox`: the one that was entered, as it was found to be.
    `own_user_namespace`: the network namespace belongs to a user namespace other than the node's.
    `addresses`: those that are there, in network byte order, if the sandbox's are unknown.
    """

    sandbox: Sandbox
    own_user_namespace: bool
    absent: tuple[SocketKind, ...] = ()
    addresses: tuple[bytes, ...] = ()


class Processes(msgspec.Struct, frozen=True, tag=True):
    """Live processes of pods; none if the one that was asked for is gone or no pod's."""

    processes: tuple[Process, ...]


class Identified(msgspec.Struct, frozen=True, tag=True):
    """A network namespace, None if there is none under the path."""

    netns: NetnsIdentity | None


Reply = Done | Opened | Processes | Identified | Refused


_REQUESTS: Final[msgspec.msgpack.Decoder[Request]] = msgspec.msgpack.Decoder(Request)
_REPLIES: Final[msgspec.msgpack.Decoder[Reply]] = msgspec.msgpack.Decoder(Reply)


class FrameError(Exception):
    """What came is no message of this protocol: the stream can't be used any further."""


def frame(message: Request | Reply) -> bytes:
    """Encode a message for the stream.

    Raises:
        FrameError: it is too long.
    """
    body = msgspec.msgpack.encode(message)
    if len(body) > MAX_FRAME:
        raise FrameError(f"a message of {len(body)} bytes is longer than {MAX_FRAME}")
    return _LENGTH.pack(len(body)) + body


def body_length(header: bytes) -> int:
    """Read the length of the message that follows, in bytes.

    Raises:
        FrameError: it is too long to be one.
    """
    (length,) = _LENGTH.unpack(header)
    if length > MAX_FRAME:
        raise FrameError(f"a message of {length} bytes is longer than {MAX_FRAME}")
    return int(length)


def decode_request(body: bytes) -> Request:
    """Read a request.

    Raises:
        FrameError: it is none.
    """
    return _decode(_REQUESTS, body)


def decode_reply(body: bytes) -> Reply:
    """Read a reply.

    Raises:
        FrameError: it is none.
    """
    return _decode(_REPLIES, body)


def _decode(decoder: msgspec.msgpack.Decoder[M], body: bytes) -> M:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameError(f"not a message: {error}") from error
