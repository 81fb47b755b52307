"""Descriptors that the broker opens inside a pod's network namespace and hands to the agent.

A socket stays bound to the namespace that it was created in: the agent uses it without ever going
there. It also keeps the namespace alive, so the broker closes its own copy at once.
"""

import os
import socket
from collections.abc import Iterable

from capture_agent.broker_protocol import LEGACY_LISTS, SOCKETS, SocketKind
from capture_agent.legacy_lists import opened_lists


def open_all(
    kinds: Iterable[SocketKind], user_namespace: int | None = None
) -> tuple[list[int], tuple[SocketKind, ...]]:
    """Open a descriptor of each kind, no list twice, in the network namespace of this thread.

    Args:
        kinds: what to open.
        user_namespace: the descriptor of the one that owns the namespace, None if that is ours.

    Returns:
        The descriptors, which are the caller's to close, and the kinds that are absent there.

    Raises:
        OSError: one could not be opened; then none is.
    """
    chosen = tuple(kinds)
    families = [LEGACY_LISTS[kind] for kind in chosen if kind in LEGACY_LISTS]
    lists = opened_lists(families, user_namespace)
    opened: list[int] = []
    absent: list[SocketKind] = []
    try:
        for kind in chosen:
            if kind in SOCKETS:
                opened.append(opened_socket(kind).detach())
            elif LEGACY_LISTS[kind] in lists:
                opened.append(lists.pop(LEGACY_LISTS[kind]))
            else:
                absent.append(kind)
    except BaseException:
        close_all((*opened, *lists.values()))
        raise
    return opened, tuple(absent)


def close_all(descriptors: Iterable[int]) -> None:
    """Close descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)


def opened_socket(kind: SocketKind) -> socket.socket:
    """Open a socket in the network namespace of this thread, that does not block.

    Raises:
        OSError: it could not be opened, e.g. one of IPv6 where the kernel has none.
    """
    opened = socket.socket(*SOCKETS[kind])
    opened.settimeout(0)
    return opened
