"""Which chains of a table are ours: the marked and the recorded ones. Pure.

A name proves nothing, so it never makes a chain ours. But it can keep one from it: whoever is root
in a pod can put our mark on any chain of theirs, and the names of our chains get onto the lines of
an `iptables-restore`, where a chain called `--modprobe=/x` would be an option. So only names that
we could have given count.
"""

from typing import Final

from capture_agent.nat_backends import NatView
from capture_api.resolution import InvalidSpecError, check_chain_prefix
from capture_nat.rulesets import BUILTIN_CHAINS

_SUFFIXES: Final = ("_DNS", "_INBOUND", "_IN_REDIRECT", "_OUTPUT", "_REDIRECT")


def owned_chains(view: NatView, recorded: frozenset[str]) -> frozenset[str]:
    """Name the chains of a table that are ours, base chains that we created included.

    `recorded` are those that the journal has for this sandbox.
    """
    claimed = (view.marked | recorded) & view.table.chains.keys()
    return frozenset(name for name in claimed if _could_be_ours(name))


def _could_be_ours(name: str) -> bool:
    return name in BUILTIN_CHAINS or any(
        name.endswith(suffix) and _is_prefix(name.removesuffix(suffix)) for suffix in _SUFFIXES
    )


def _is_prefix(text: str) -> bool:
    try:
        check_chain_prefix(text)
    except InvalidSpecError:
        return False
    return True
