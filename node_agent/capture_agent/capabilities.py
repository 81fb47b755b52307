"""Giving up capabilities, for good.

The agent's own process needs NET_ADMIN and NET_RAW: to speak nf_tables over sockets that the broker
opened. SYS_ADMIN and SYS_PTRACE, which are the node, stay with the zygote and its brokers.

Given up means: not in the effective, permitted, inheritable or ambient set, and not to be had back
by running a program as root, which `no_new_privs` sees to. The bounding set shrinks as well where
SETPCAP allows it; in the chart's pod it holds nothing but the four from the start.
"""

from enum import IntEnum
from pathlib import Path
from typing import Final

from capture_agent.linux_calls import capset, prctl

_LAST: Final = Path("/proc/sys/kernel/cap_last_cap")
_PR_CAPBSET_READ: Final = 23
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4


class Capability(IntEnum):
    """Those of linux/capability.h that we use; the value is the bit's number."""

    SETPCAP = 8
    NET_ADMIN = 12
    NET_RAW = 13
    SYS_PTRACE = 19
    SYS_ADMIN = 21


AGENT: Final = frozenset({Capability.NET_ADMIN, Capability.NET_RAW})
BROKER: Final = AGENT | {Capability.SYS_ADMIN, Capability.SYS_PTRACE}


def mask(capabilities: frozenset[Capability]) -> int:
    """Write a set as the kernel does."""
    return sum(1 << capability for capability in capabilities)


def held() -> int:
    """Read the permitted set of the calling thread, as a mask."""
    status = Path("/proc/thread-self/status").read_text()
    return int(status.partition("CapPrm:")[2].split()[0], 16)


def keep_only(capabilities: frozenset[Capability]) -> None:
    """Give up every other capability. For a process with one thread: threads have their own.

    What is to be kept and is not held is no error: what needs it will say so.
    """
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    kept = mask(capabilities) & held()
    if held() >> Capability.SETPCAP & 1:
        _keep_bounding(kept)
    capset(effective=kept, permitted=kept, inheritable=0)
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _keep_bounding(kept: int) -> None:
    for number in range(int(_LAST.read_text()) + 1):
        if not kept >> number & 1 and prctl(_PR_CAPBSET_READ, number):
            prctl(_PR_CAPBSET_DROP, number)
