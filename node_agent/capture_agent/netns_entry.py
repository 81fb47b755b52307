"""Entering a pod's network namespace, after verifying that it is the pod's. For the broker alone.

Goals, in order:

1. The right namespace or none. The PID in a claim may have been reused, its process may have moved
   itself with `unshare -n`, the sandbox may have been replaced. So: pin the process with a pidfd,
   open its namespace, then check that namespace, start time and pod are the claimed ones; if the
   process still lives after that, everything that was read was read of that very process. The open
   descriptor, not the PID, is what gets entered.
2. Always back. The process that entered leaves again before it answers; if it can't, it dies.

`setns` moves one thread. The broker has one, and it is this one: `/proc/thread-self/ns/net` tells.
"""

import contextlib
import ctypes
import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from capture_agent.broker_protocol import Refusal
from capture_agent.processes import PROC, netns_identity, read_process
from capture_agent.sandboxes import Sandbox
from capture_api.node_captures import NetnsIdentity

_CLONE_NEWNET = 0x40000000
_OWN_NETNS = Path("/proc/thread-self/ns/net")
_EXIT_LOST = 70  # EX_SOFTWARE: the agent starts another broker

_libc = ctypes.CDLL(None, use_errno=True)


class RefusedError(Exception):
    """The namespace is not, or no longer, what the request says; nothing was done in it."""

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal


@contextlib.contextmanager
def entered(sandbox: Sandbox, host: NetnsIdentity) -> Iterator[None]:
    """Run the body in the sandbox's network namespace, never in `host`, the node's own.

    Raises:
        RefusedError: the sandbox is not what it is claimed to be; the body did not run.
    """
    with _OWN_NETNS.open("rb") as home, _verified_netns(sandbox, host) as netns:
        _setns(netns)
        try:
            yield
        finally:
            _return(home.fileno())


@contextlib.contextmanager
def _verified_netns(sandbox: Sandbox, host: NetnsIdentity) -> Iterator[int]:
    with _pinned(sandbox) as pidfd, _netns_of(sandbox, pidfd) as netns:
        _verify(sandbox, host, netns.fileno(), pidfd)
        yield netns.fileno()


@contextlib.contextmanager
def _pinned(sandbox: Sandbox) -> Iterator[int]:
    try:
        pidfd = os.pidfd_open(sandbox.pid)
    except ProcessLookupError as error:
        raise _gone(sandbox) from error
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def _netns_of(sandbox: Sandbox, pidfd: int) -> BinaryIO:
    try:
        return (PROC / str(sandbox.pid) / "ns" / "net").open("rb")
    except OSError as error:
        # ENOENT, ESRCH or EACCES, depending on how far its end has come.
        if _has_ended(pidfd):
            raise _gone(sandbox) from error
        raise


def _verify(sandbox: Sandbox, host: NetnsIdentity, netns: int, pidfd: int) -> None:
    identity = netns_identity(os.fstat(netns))
    process = read_process(sandbox.pid)
    if _has_ended(pidfd) or process is None:
        raise _gone(sandbox)
    if (process.start_time, process.pod_uid) != (sandbox.start_time, sandbox.pod_uid):
        raise RefusedError(
            Refusal.SANDBOX_CHANGED, f"process {sandbox.pid} is not the one that was found"
        )
    if identity != sandbox.netns:
        raise RefusedError(
            Refusal.SANDBOX_CHANGED, f"process {sandbox.pid} is in another network namespace now"
        )
    if identity == host:
        raise RefusedError(
            Refusal.HOST_NETWORK, f"process {sandbox.pid} is in the host's network namespace"
        )


def _gone(sandbox: Sandbox) -> RefusedError:
    return RefusedError(Refusal.SANDBOX_GONE, f"process {sandbox.pid} has ended")


def _has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _setns(netns: int) -> None:
    if _libc.setns(netns, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def _return(home: int) -> None:
    try:
        _setns(home)
        if not os.path.samestat(os.stat(_OWN_NETNS), os.fstat(home)):  # noqa: PTH116 - nsfs
            os._exit(_EXIT_LOST)
    except OSError:
        # Whatever came next would happen in a pod's namespace.
        os._exit(_EXIT_LOST)
