"""Whether a network namespace has legacy (xtables) tables, without a tool and without entering it.

Asking the kernel the way that the legacy tools do would create the table; its list of tables only
tells what is there. Changes of legacy tables make no nf_tables event: they have to be looked for.
"""

import os
from typing import Final

from capture_nat.families import Family

_LISTS: Final = {Family.IPV4: "ip_tables_names", Family.IPV6: "ip6_tables_names"}
_LONGEST: Final = 4096


def legacy_tables(proc_net: int, family: Family) -> frozenset[str]:
    """Name the legacy tables of a family.

    Args:
        proc_net: a descriptor of the namespace's `/proc/PID/net`.
        family: whose tables.

    Raises:
        OSError: the process behind the descriptor is gone.
    """
    try:
        names = os.open(_LISTS[family], os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc_net)
    except FileNotFoundError:
        os.stat(".", dir_fd=proc_net)  # ESRCH: the process is gone, not the list
        return frozenset()
    try:
        return frozenset(os.read(names, _LONGEST).decode(errors="replace").split())
    finally:
        os.close(names)
