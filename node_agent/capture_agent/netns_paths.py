"""Network namespaces that a runtime keeps under /run/netns, with or without a process in them.

A path comes from the runtime. Still only a name directly below the one directory counts, nothing is
followed, and what is opened must be a network namespace: its identity is compared by the caller,
and `setns` refuses whatever is none.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Final

from capture_agent.processes import netns_identity
from capture_api.node_captures import NetnsIdentity

_PATH: Final = re.compile(r"(?:/var)?/run/netns/([A-Za-z0-9_][A-Za-z0-9._-]{0,254})", re.ASCII)
_DIRECTORIES: Final = ("/run/netns", "/proc/1/root/run/netns")
"""Where the agent's pod has it mounted, and where the node has it."""

_OWN_NETNS: Final = "/proc/thread-self/ns/net"


@contextlib.contextmanager
def opened_netns(path: str, wanted: NetnsIdentity | None = None) -> Iterator[int | None]:
    """Open the namespace under a path for the body: a descriptor, None if there is none.

    The wanted one is preferred where a mount of the agent's pod lags behind the node.
    """
    with contextlib.ExitStack() as opened:
        found = [netns for netns in map(_opened, _candidates(path)) if netns is not None]
        for netns in found:
            opened.callback(os.close, netns)
        found.sort(key=lambda netns: netns_identity(os.fstat(netns)) != wanted)
        yield found[0] if found else None


def _candidates(path: str) -> tuple[str, ...]:
    match = _PATH.fullmatch(path)
    return tuple(f"{directory}/{match[1]}" for directory in _DIRECTORIES) if match else ()


def _opened(path: str) -> int | None:
    try:
        netns = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    # All namespaces are files of one file system; a name without its mount is an empty file.
    if os.fstat(netns).st_dev == os.stat(_OWN_NETNS).st_dev:  # noqa: PTH116 - follows nsfs
        return netns
    os.close(netns)
    return None
