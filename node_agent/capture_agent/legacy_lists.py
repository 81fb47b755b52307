"""Opening the lists of legacy tables in a pod's network namespace. For the broker alone.

The kernel lets root of the user namespace that owns the network namespace open them, and nobody
else without DAC_OVERRIDE. For a pod with a user namespace of its own a child joins that, opens them
and passes the descriptors back: a millisecond or two instead of one more capability for good.
"""

import contextlib
import errno
import os
import select
import signal
import socket
import struct
from collections.abc import Iterable
from typing import Final, NoReturn

from capture_agent.legacy_tables import opened_list
from capture_agent.user_namespaces import become_root_of
from capture_nat.families import Family

SECONDS: Final = 2.0
"""For a child that takes milliseconds; one that takes longer is stuck, and is killed."""

_DYING_SECONDS: Final = 2.0
"""For what was killed to be gone. It takes longer only inside of a system call that can't end."""

_ERROR: Final = struct.Struct("=i")
"""What a child says first: an error number, or 0 and a byte for each family whose list comes."""


def opened_lists(families: Iterable[Family], user_namespace: int | None) -> dict[Family, int]:
    """Open the lists of the network namespace that this thread is in; those that are absent not.

    Args:
        families: whose lists are wanted.
        user_namespace: the descriptor of the one that owns the network namespace, None if that is
            ours.

    Raises:
        OSError: one can't be opened; then none is. Also if the child dies, or is stuck.
    """
    wanted = frozenset(families)
    if user_namespace is None or not wanted:
        return _opened(wanted)
    ours, childs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with childs:
            child = os.fork()
            if child == 0:
                _be_child(childs, wanted, user_namespace)
        try:
            return _received(ours)
        finally:
            _end(child)


def _opened(families: Iterable[Family]) -> dict[Family, int]:
    opened: dict[Family, int] = {}
    try:
        for family in families:
            descriptor = opened_list(family)
            if descriptor is not None:
                opened[family] = descriptor
    except BaseException:
        for descriptor in opened.values():
            os.close(descriptor)
        raise
    return opened


def _be_child(parent: socket.socket, families: Iterable[Family], user_namespace: int) -> NoReturn:
    try:
        become_root_of(user_namespace)
        lists = _opened(families)
        said = _ERROR.pack(0) + bytes(family.value for family in lists)
        socket.send_fds(parent, [said], list(lists.values()))
    except OSError as error:
        parent.send(_ERROR.pack(error.errno or errno.EIO))
    finally:
        os._exit(0)  # whatever it was: no fork may go on as a second broker


def _received(child: socket.socket) -> dict[Family, int]:
    if child not in select.select([child], [], [], SECONDS)[0]:
        raise OSError(errno.ETIMEDOUT, "the process that joined the pod's user namespace hangs")
    said, descriptors, _, _ = socket.recv_fds(
        child, _ERROR.size + len(Family), len(Family), socket.MSG_CMSG_CLOEXEC
    )
    if len(said) < _ERROR.size:
        raise OSError(errno.EPIPE, "the process that joined the pod's user namespace has died")
    (number,) = _ERROR.unpack_from(said)
    if number:
        raise OSError(number, f"in the pod's user namespace: {os.strerror(number)}")
    return dict(zip(map(Family, said[_ERROR.size :]), descriptors, strict=True))


def _end(child: int) -> None:
    """Kill a child, and wait for its end, but not for ever."""
    pidfd = os.pidfd_open(child)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        select.select([pidfd], [], [], _DYING_SECONDS)
    finally:
        os.close(pidfd)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, os.WNOHANG)
