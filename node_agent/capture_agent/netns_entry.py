"""Entering a pod's network namespace, after verifying that it is the pod's. For the broker alone.

Goals, in order:

1. The right namespace or none. The PID in a claim may have been reused, its process may have moved
   itself with `unshare -n`, the sandbox may have been replaced. So: pin the process with a pidfd,
   open its namespace, then check that namespace, start time and pod are the claimed ones; if the
   process still lives after that, everything that was read was read of that very process. The open
   descriptor, not the PID, is what gets entered. The pod's address has to be in it.
2. Always back. The process that entered leaves again before it answers; if it can't, it dies.

A namespace that its runtime keeps under a path has no process to check: there the identity and the
pod's address have to do.

`setns` moves one thread. The broker has one, and it is this one: `/proc/thread-self/ns/net` tells.
"""

import contextlib
import os
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from capture_agent.broker_netlink import addresses
from capture_agent.broker_protocol import Refusal
from capture_agent.linux_calls import CLONE_NEWNET, owning_user_namespace, setns
from capture_agent.netns_paths import opened_netns
from capture_agent.processes import PROC, netns_identity, read_process
from capture_agent.sandboxes import Sandbox, ToldProcess
from capture_api.node_captures import NetnsIdentity

_OWN_NETNS = "/proc/thread-self/ns/net"
_OWN_USER_NAMESPACE = "/proc/thread-self/ns/user"
_EXIT_LOST = 70  # EX_SOFTWARE: the agent starts another broker


class RefusedError(Exception):
    """The namespace is not, or no longer, what the request says; nothing was done in it."""

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Entered:
    """The network namespace that this thread is in."""

    sandbox: Sandbox
    """What was verified of it."""
    user_namespace: int | None
    """The descriptor of the one that owns it, None if that is ours."""
    addresses: frozenset[bytes]
    """Both families, in network byte order."""


@contextlib.contextmanager
def entered(claim: Sandbox | ToldProcess, host: NetnsIdentity) -> Iterator[Entered]:
    """Run the body in the sandbox's network namespace, never in `host`, the node's own.

    Raises:
        RefusedError: the sandbox is not what it is claimed to be; the body did not run.
    """
    with (
        open(_OWN_NETNS, "rb", buffering=0) as home,  # noqa: PTH123 - no pathlib at every entry
        _verified(claim, host) as (sandbox, netns),
        _foreign_owner(netns) as user_namespace,
    ):
        setns(netns, CLONE_NEWNET)
        try:
            there = addresses()
            _check_addresses(sandbox, there)
            yield Entered(sandbox, user_namespace, there)
        finally:
            _return(home.fileno())


def _verified(
    claim: Sandbox | ToldProcess, host: NetnsIdentity
) -> contextlib.AbstractContextManager[tuple[Sandbox, int]]:
    """Open a network namespace that is what the claim says, and not the host's."""
    if isinstance(claim, Sandbox) and claim.path is not None:
        return _verified_path(claim, claim.path, host)
    return _verified_process(claim, host)


@contextlib.contextmanager
def _verified_process(
    claim: Sandbox | ToldProcess, host: NetnsIdentity
) -> Iterator[tuple[Sandbox, int]]:
    with _pinned(claim.pid) as pidfd, _netns_of(claim.pid, pidfd) as netns:
        yield _verify(claim, host, netns.fileno(), pidfd), netns.fileno()


@contextlib.contextmanager
def _verified_path(
    sandbox: Sandbox, path: str, host: NetnsIdentity
) -> Iterator[tuple[Sandbox, int]]:
    with opened_netns(path, sandbox.netns) as netns:
        if netns is None:
            raise RefusedError(Refusal.SANDBOX_GONE, f"{path!a} is no network namespace")
        _check_identity(f"{path!a}", sandbox, host, netns_identity(os.fstat(netns)))
        yield sandbox, netns


@contextlib.contextmanager
def _pinned(pid: int) -> Iterator[int]:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError as error:
        raise _gone(pid) from error
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def _netns_of(pid: int, pidfd: int) -> BinaryIO:
    try:
        return open(f"{PROC}/{pid}/ns/net", "rb", buffering=0)  # noqa: PTH123
    except OSError as error:
        # ENOENT, ESRCH or EACCES, depending on how far its end has come.
        if _has_ended(pidfd):
            raise _gone(pid) from error
        raise


def _verify(claim: Sandbox | ToldProcess, host: NetnsIdentity, netns: int, pidfd: int) -> Sandbox:
    identity = netns_identity(os.fstat(netns))
    process = read_process(claim.pid)
    if _has_ended(pidfd) or process is None:
        raise _gone(claim.pid)
    sandbox = claim if isinstance(claim, Sandbox) else _claimed(claim, process.start_time, identity)
    if (process.start_time, process.pod_uid) != (sandbox.start_time, sandbox.pod_uid):
        raise RefusedError(
            Refusal.SANDBOX_CHANGED, f"process {claim.pid} is not the one that was found"
        )
    _check_identity(f"process {claim.pid}", sandbox, host, identity)
    return sandbox


def _claimed(told: ToldProcess, start_time: int, netns: NetnsIdentity) -> Sandbox:
    return Sandbox(told.pod_uid, told.pid, start_time, netns, told.pod_ips)


def _check_identity(
    what: str, sandbox: Sandbox, host: NetnsIdentity, identity: NetnsIdentity
) -> None:
    if identity != sandbox.netns:
        raise RefusedError(
            Refusal.SANDBOX_CHANGED, f"{what} leads to another network namespace now"
        )
    if identity == host:
        raise RefusedError(Refusal.HOST_NETWORK, f"{what} leads to the host's network namespace")


def _check_addresses(sandbox: Sandbox, there: frozenset[bytes]) -> None:
    if sandbox.addresses_unknown:
        return
    if there.isdisjoint(filter(None, map(_packed, sandbox.pod_ips))):
        raise RefusedError(
            Refusal.ADDRESS_MISSING,
            f"none of the pod's addresses ({', '.join(sandbox.pod_ips) or 'none known'}) is in its "
            "network namespace",
        )


def _packed(address: str) -> bytes | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.inet_pton(family, address)
    except OSError:
        return None


@contextlib.contextmanager
def _foreign_owner(netns: int) -> Iterator[int | None]:
    owner = owning_user_namespace(netns)
    try:
        is_ours = os.path.samestat(os.fstat(owner), os.stat(_OWN_USER_NAMESPACE))  # noqa: PTH116
        yield None if is_ours else owner
    finally:
        os.close(owner)


def _gone(pid: int) -> RefusedError:
    return RefusedError(Refusal.SANDBOX_GONE, f"process {pid} has ended")


def _has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _return(home: int) -> None:
    try:
        setns(home, CLONE_NEWNET)
        if not os.path.samestat(os.stat(_OWN_NETNS), os.fstat(home)):  # noqa: PTH116 - nsfs
            os._exit(_EXIT_LOST)
    except OSError:
        # Whatever came next would happen in a pod's namespace.
        os._exit(_EXIT_LOST)
