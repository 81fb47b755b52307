"""The few Linux calls that Python does not offer. All act on the calling thread alone."""

import ctypes
import fcntl
import os
import signal
from typing import Final

CLONE_NEWNET: Final = 0x40000000
CLONE_NEWUSER: Final = 0x10000000

_NS_GET_USERNS: Final = 0xB701  # _IO(NSIO, 1) of linux/nsfs.h
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36

_libc = ctypes.CDLL(None, use_errno=True)


def setns(namespace: int, kind: int) -> None:
    """Enter the namespace of a kind (`CLONE_NEW...`) that a descriptor stands for."""
    _check(_libc.setns(namespace, kind), "setns")


def prctl(option: int, *arguments: int) -> int:
    """Operate on the calling process or thread; what the call answers."""
    words = (ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4])
    return _check(_libc.prctl(option, *words), "prctl")


def end_with(parent: int, sent: signal.Signals) -> None:
    """Be sent a signal when the thread that forked this process ends.

    `parent` is the PID that its process had then.
    """
    prctl(_PR_SET_PDEATHSIG, sent)
    if os.getppid() != parent:
        os.kill(os.getpid(), sent)  # it had ended before the kernel was told


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def owning_user_namespace(namespace: int) -> int:
    """Open the user namespace that owns a namespace; a descriptor of the caller's, CLOEXEC.

    Raises:
        PermissionError: it is no descendant of the caller's user namespace.
    """
    return fcntl.ioctl(namespace, _NS_GET_USERNS)


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the capability sets of the calling thread, each a mask."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    low = (effective, permitted, inheritable)
    words = (word & 0xFFFFFFFF for word in (*low, *(mask >> 32 for mask in low)))
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)(*words)), "capset")


def _check(result: int, call: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result
