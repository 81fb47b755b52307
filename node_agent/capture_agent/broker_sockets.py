"""Descriptors that the broker opens inside a pod's network namespace and hands to the agent.

A socket stays bound to the namespace that it was created in: the agent uses it without ever going
there. It also keeps the namespace alive, so the broker closes its own copy at once.
"""

import os
import socket
from collections.abc import Iterable

from capture_agent.broker_protocol import NETLINK_PROTOCOLS, SocketKind
from capture_agent.netns_entry import Entry


def open_all(kinds: Iterable[SocketKind], entry: Entry) -> list[int]:
    """Open a descriptor of each kind in the namespace that was entered; the caller's to close.

    Raises:
        RefusedError: the sandbox's process has ended meanwhile.
        OSError: one could not be opened; then none is.
    """
    opened: list[int] = []
    try:
        for kind in kinds:
            opened.append(_open(kind, entry))  # noqa: PERF401 - closed when a later one fails
    except BaseException:
        close_all(opened)
        raise
    return opened


def close_all(descriptors: Iterable[int]) -> None:
    """Close descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)


def _open(kind: SocketKind, entry: Entry) -> int:
    if kind is SocketKind.PROC_NET:
        return entry.open_proc_net()
    flags = socket.SOCK_RAW | socket.SOCK_NONBLOCK
    return socket.socket(socket.AF_NETLINK, flags, NETLINK_PROTOCOLS[kind]).detach()
