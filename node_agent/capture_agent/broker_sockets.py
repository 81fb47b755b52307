"""Descriptors that the broker opens inside a pod's network namespace and hands to the agent.

A socket stays bound to the namespace that it was created in: the agent uses it without ever going
there. It also keeps the namespace alive, so the broker closes its own copy at once.
"""

import os
import socket
from collections.abc import Iterable

from capture_agent.broker_protocol import LEGACY_LISTS, NETLINK_PROTOCOLS, SocketKind
from capture_agent.legacy_tables import opened_list


def open_all(kinds: Iterable[SocketKind]) -> tuple[list[int], tuple[SocketKind, ...]]:
    """Open a descriptor of each kind in the namespace that this thread is in.

    Returns:
        The descriptors, which are the caller's to close, and the kinds that are absent there.

    Raises:
        OSError: one could not be opened; then none is.
    """
    opened: list[int] = []
    absent: list[SocketKind] = []
    try:
        for kind in kinds:
            descriptor = _open(kind)
            if descriptor is None:
                absent.append(kind)
            else:
                opened.append(descriptor)
    except BaseException:
        close_all(opened)
        raise
    return opened, tuple(absent)


def close_all(descriptors: Iterable[int]) -> None:
    """Close descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)


def _open(kind: SocketKind) -> int | None:
    if kind in LEGACY_LISTS:
        return opened_list(LEGACY_LISTS[kind])
    flags = socket.SOCK_RAW | socket.SOCK_NONBLOCK
    return socket.socket(socket.AF_NETLINK, flags, NETLINK_PROTOCOLS[kind]).detach()
