"""A held nfnetlink socket in a pod's network namespace: ask, dump and commit in microseconds.

Goals, in order:

1. Nothing is believed that the kernel did not say. Whoever has NET_ADMIN in the pod can send to any
   netlink socket there, so the socket is connected to the kernel, which makes others' messages
   bounce, and every datagram's sender is looked at.
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

from capture_nat.families import Family
from capture_nft.dumps import part_of
from capture_nft.errors import DumpInterruptedError, NftError
from capture_nft.generations import change_in, generation_in
from capture_nft.messages import dump_chains, dump_rules, dump_tables, get_generation
from capture_nft.replies import Reply, error_name, replies_in
from capture_nft.transactions import Blob, next_generation

MAX_DUMP: Final = 2 << 20
"""Bytes of the longest dump that is read, some 6,000 rules: our most take a third of it."""
MAX_INTERRUPTIONS: Final = 5
"""How often a dump is tried again because somebody wrote in between."""

_KERNEL: Final = (0, 0)
_MAX_DATAGRAM: Final = 1 << 16  # the kernel fills at most 32 KiB of a dump, or one message
_SOL_NETLINK: Final = 270
_NETLINK_CAP_ACK: Final = 10
_SO_SNDBUFFORCE: Final = 32
_SEND_OVERHEAD: Final = 1024  # what netlink_sendmsg() wants beyond the message, rounded up
_GET_GENERATION: Final = get_generation()
_DUMP_TABLES: Final = dump_tables()
_DUMP_CHAINS: Final = dump_chains()
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
        self._send(_GET_GENERATION)
        said = self._answer()
        # Of one generation, the kernel always says the same to one socket.
        if said != self._said_last:
            self._generation = generation_in(said)
            self._said_last = said
        return self._generation

    def own_pid(self) -> int:
        """The PID by which the kernel tells others of us: not our own in a nested PID namespace."""
        self._send(_GET_GENERATION)
        return change_in(self._answer()).pid

    def dump_tables(self) -> bytes:
        """The tables of every family, for `capture_nft.snapshots.decode`.

        Raises:
            DumpInterruptedError: somebody wrote again and again while it was read.
            DumpTooLargeError: there is more than the limit; the channel is closed.
        """
        return self._dump(_DUMP_TABLES)

    def dump_chains(self) -> bytes:
        """The chains of every table. Raises what `dump_tables` raises."""
        return self._dump(_DUMP_CHAINS)

    def dump_rules(self, family: Family | None = None, table: str | None = None) -> bytes:
        """The rules, all or those of one family or table. Raises what `dump_tables` raises."""
        return self._dump(dump_rules(family, table) if family or table else _DUMP_RULES)

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

    def _dump(self, request: bytes) -> bytes:
        for _ in range(1 + MAX_INTERRUPTIONS):
            self._send(request)
            parts, whole = self._read_dump()
            if whole:
                return b"".join(parts)
        raise DumpInterruptedError(
            f"the ruleset changed during each of {1 + MAX_INTERRUPTIONS} dumps of it"
        )

    def _read_dump(self) -> tuple[list[bytes], bool]:
        """The datagrams of one dump, and whether nobody wrote in between."""
        parts: list[bytes] = []
        size, whole, ended = 0, True, False
        while not ended:
            part, ended, interrupted = part_of(self._answer())
            whole = whole and not interrupted
            size += len(part)
            if size > self._max_dump:
                raise self._too_large()
            if whole:
                parts.append(part)
        return parts, whole

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

    def _answer(self) -> bytes:
        answer = self._receive()
        if answer is None:
            raise self._broken("the kernel did not answer")
        return answer

    def _replies(self) -> list[Reply]:
        replies: list[Reply] = []
        while (datagram := self._receive()) is not None:
            replies += replies_in(datagram)
        return replies

    def _receive(self) -> bytes | None:
        """The next datagram of the kernel, or None if there is none."""
        try:
            datagram, sender = self._sock.recvfrom(_MAX_DATAGRAM)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._broken(f"can't receive: {error}") from error
        if sender != _KERNEL:
            raise self._broken(f"an answer of port {sender[0]}, not of the kernel")
        if len(datagram) == _MAX_DATAGRAM:
            raise self._broken(f"an answer of {_MAX_DATAGRAM} bytes or more")
        return datagram

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

    def _broken(self, message: str) -> ChannelError:
        self.close()
        return ChannelError(f"{message}; the channel is closed")
