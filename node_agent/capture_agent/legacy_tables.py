"""Whether a network namespace has legacy (xtables) tables, without a tool.

Asking the kernel the way that the legacy tools do would create the table; its list of tables only
tells what is there. Changes of legacy tables make no nf_tables event: they have to be looked for,
which a list that is held open makes cheap. Like a socket it stays that of the namespace that it was
opened in, and keeps it alive.

A kernel without legacy tables has no lists. It has them in every namespace, ours included, as soon
as their module is loaded.
"""

import os
from collections.abc import Mapping
from typing import Final

from capture_nat.families import Family

LISTS: Final[Mapping[Family, str]] = {
    Family.IPV4: "ip_tables_names",
    Family.IPV6: "ip6_tables_names",
}
_OWN_NET: Final = "/proc/thread-self/net"
_LONGEST: Final = 4096


def opened_list(family: Family) -> int | None:
    """Open the list of the network namespace that the calling thread is in; None without one.

    Raises:
        OSError: it can't be opened.
    """
    try:
        return os.open(f"{_OWN_NET}/{LISTS[family]}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def listed_tables(descriptor: int) -> frozenset[str]:
    """Name the tables that are in an open list now, e.g. `nat`."""
    return frozenset(os.pread(descriptor, _LONGEST, 0).decode(errors="replace").split())


def _has_nat(descriptor: int) -> bool:
    return b"nat" in os.pread(descriptor, _LONGEST, 0).split()


class LegacyTables:
    """The lists of one network namespace, held open; `close` them with it."""

    def __init__(self, lists: Mapping[Family, int], own_net: str = _OWN_NET) -> None:
        self._lists = dict(lists)
        self._awaited = [f"{own_net}/{LISTS[family]}" for family in Family if family not in lists]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Those of the lists that are open."""
        return tuple(self._lists.values())

    def has_nat(self, family: Family) -> bool:
        """Whether there is a legacy nat table of this family."""
        descriptor = self._lists.get(family)
        return descriptor is not None and _has_nat(descriptor)

    @property
    def have_nat(self) -> bool:
        """Whether there is a legacy nat table of any family."""
        return any(map(_has_nat, self._lists.values()))

    @property
    def are_outdated(self) -> bool:
        """Whether the kernel has lists that it did not have when these were opened."""
        return bool(self._awaited) and any(map(os.path.exists, self._awaited))

    def close(self) -> None:
        """Let go of the network namespace; may be called again."""
        while self._lists:
            os.close(self._lists.popitem()[1])
