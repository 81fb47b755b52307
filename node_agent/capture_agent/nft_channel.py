"""A held nfnetlink socket in a pod's network namespace: ask, dump and commit in microseconds.

Goals, in order:

1. Nothing is believed that the kernel did not say. Whoever has NET_ADMIN in the pod can send to any
   netlink socket there, so the socket is connected to the kernel, which makes others' messages
   bounce, and in no multicast group.
2. Nobody else's change is overwritten unseen: a commit names the generation that it was made for.
3. Never wait, never grow without bound. The kernel answers within `send`, so an answer that is not
   there at once will not come; a dump beyond the limit is given up.

The kernel answers one request at a time. A channel whose answer was not read to its end could take
the rest of it for the next one, so it closes itself then; open another.

A commit with xt extensions (owner, REDIRECT) right after anybody deleted rules waits for the kernel
to destroy those, some 10 ms; all else takes microseconds.
"""

import errno
import socket
from typing import Final

from capture_nft.dumps import is_of_generation, part_of
from capture_nft.errors import NftError
from capture_nft.generations import change_in
from capture_nft.messages import dump_chains, dump_rules, dump_tables, get_generation
from capture_nft.replies import Reply, error_name, replies_in
from capture_nft.transactions import Blob, next_generation

MAX_DUMP: Final = 2 << 20
"""Bytes of the longest dump that is read, some 6,000 rules: our most take a third of it."""

_KERNEL: Final = (0, 0)
_MAX_DATAGRAM: Final = 1 << 16  # the kernel fills at most 32 KiB of a dump, or one message
_SOL_NETLINK: Final = 270
_NETLINK_CAP_ACK: Final = 10
_SO_SNDBUFFORCE: Final = 32
_SEND_OVERHEAD: Final = 1024  # what netlink_sendmsg() wants beyond the message, rounded up
_GET_GENERATION: Final = get_generation()
_DUMP_CONTAINERS: Final = (dump_tables(), dump_chains())
_DUMP_RULES: Final = dump_rules()


class ChannelError(NftError):
    """The socket can no longer be relied on and is closed; open another."""


class DumpTooLargeError(ChannelError):
    """The pod has more nf_tables objects than anybody needs; nothing is said about its tables."""


class StaleGenerationError(NftError):
    """The ruleset changed since the generation that a commit was made for; nothing was done."""


class TransactionRefusedError(NftError):
    """The kernel refused a transaction, and nothing of it was done.

    `what` names the message that was refused, e.g. `NEWRULE ISTIO_OUTPUT`.
    """

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"the kernel refuses {what}: {error_name(number)}")
        self.errno = number
        self.what = what


class NftChannel:
    """Asks, dumps and commits over a socket that was opened in the pod's network namespace.

    Takes a `NETLINK_NETFILTER` socket and owns it: `close` it with the pod, since an open one keeps
    the pod's network namespace. Every method raises `ChannelError` and, where the kernel answers
    with an error of its own, `KernelRefusalError`.
    """

    def __init__(self, sock: socket.socket, *, max_dump: int = MAX_DUMP) -> None:
        self._sock = sock
        self._max_dump = max_dump
        sock.settimeout(0)
        sock.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        sock.connect(_KERNEL)
        self._drop_what_came_before()
        self._said_last = b""
        self._generation = 0

    def generation(self) -> int:
        """The generation of the rulesets of all tables in this network namespace."""
        said = self._ask(_GET_GENERATION)
        # Of one generation, the kernel always says the same to one socket.
        if said != self._said_last:
            self._generation = change_in(said).generation
            self._said_last = said
        return self._generation

    def own_pid(self) -> int:
        """The PID by which the kernel tells others of us: not our own in a nested PID namespace."""
        self._send(_GET_GENERATION)
        try:
            said, sender = self._sock.recvfrom(_MAX_DATAGRAM)
        except OSError as error:
            raise self._unanswered(error) from error
        # Whoever sent while we connected may still be heard: once, before the kernel.
        if sender != _KERNEL:
            raise self._broken(f"an answer of port {sender[0]}, not of the kernel")
        return change_in(said).pid

    def dump(self, generation: int) -> bytes | None:
        """The tables, chains and rules of all families, if they are of this generation.

        Returns:
            What `capture_nft.snapshots.decode` reads; None if somebody wrote since.

        Raises:
            DumpTooLargeError: there is more than the limit of tables, of chains or of rules; the
                channel is closed.
        """
        parts: list[bytes] = []
        for request in _DUMP_CONTAINERS:
            if not self._read_dump(request, parts):
                return None
            if parts and not is_of_generation(parts[0], generation):
                return None
        containers = len(parts)
        if not self._read_dump(_DUMP_RULES, parts):
            return None
        # The rules come last: if they are of this generation, all that was read before them is.
        if len(parts) > containers:
            is_current = is_of_generation(parts[containers], generation)
        else:
            is_current = self.generation() == generation
        return b"".join(parts) if is_current else None

    def commit(self, blob: Blob, generation: int) -> int:
        """Do a transaction, if the ruleset is still of this generation; return the new one.

        A transaction that may find everything done already makes no generation then. For such a
        one the old generation is returned, so that whoever looks next looks closely.

        Raises:
            StaleGenerationError: somebody wrote since; nothing was done.
            TransactionRefusedError: the kernel refused, and nothing was done.
        """
        self._send(blob.at(generation))
        replies = self._replies()
        refused = next((each for each in replies if each.error), None)
        if refused and refused.error == errno.ERESTART:
            raise StaleGenerationError(f"generation {generation} is over; look again")
        if refused:
            raise TransactionRefusedError(refused.error, blob.what(refused.sequence))
        if Reply(blob.acknowledged, 0) not in replies:
            raise self._broken("the kernel did not say what became of a transaction")
        return next_generation(generation) if blob.changes else generation

    def close(self) -> None:
        """Let go of the network namespace; may be called again."""
        self._sock.close()

    def _read_dump(self, request: bytes, parts: list[bytes]) -> bool:
        """Add the datagrams of one dump to `parts`; whether nobody wrote in between."""
        self._send(request)
        receive = self._sock.recv
        size, is_whole, is_ended = 0, True, False
        try:
            while not is_ended:
                part, is_ended, is_interrupted = part_of(receive(_MAX_DATAGRAM))
                if part:
                    if len(part) == _MAX_DATAGRAM:
                        raise self._broken(f"an answer of {_MAX_DATAGRAM} bytes or more")
                    parts.append(part)
                    size += len(part)
                    if size > self._max_dump:
                        raise self._too_large()
                if is_interrupted:
                    is_whole = False
        except OSError as error:
            raise self._unanswered(error) from error
        return is_whole

    def _send(self, request: bytes) -> None:
        try:
            self._sock.send(request)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise self._broken(f"can't send: {error}") from error
            self._send_large(request)

    def _send_large(self, request: bytes) -> None:
        size = len(request) + _SEND_OVERHEAD
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, size)
            self._sock.send(request)
        except OSError as error:
            raise self._broken(f"can't send {len(request)} bytes: {error}") from error

    def _ask(self, request: bytes) -> bytes:
        """The one datagram that the kernel answers with."""
        self._send(request)
        try:
            return self._sock.recv(_MAX_DATAGRAM)
        except OSError as error:
            raise self._unanswered(error) from error

    def _replies(self) -> list[Reply]:
        replies: list[Reply] = []
        try:
            while True:
                replies += replies_in(self._sock.recv(_MAX_DATAGRAM))
        except BlockingIOError:
            return replies
        except OSError as error:
            raise self._unanswered(error) from error

    def _drop_what_came_before(self) -> None:
        # From when the socket was not connected yet: by somebody in the pod, never by the kernel.
        while True:
            try:
                self._sock.recv(_MAX_DATAGRAM)
            except BlockingIOError:
                return

    def _too_large(self) -> DumpTooLargeError:
        self.close()
        return DumpTooLargeError(
            f"the pod's nf_tables rulesets take more than {self._max_dump} bytes; delete what is "
            "not needed"
        )

    def _unanswered(self, error: OSError) -> ChannelError:
        return self._broken(f"no answer of the kernel: {error}")

    def _broken(self, message: str) -> ChannelError:
        self.close()
        return ChannelError(f"{message}; the channel is closed")
