"""What pods' network namespaces hold, read without anything of the agent's: as `nft` lists it."""

import re
from typing import Final

from kernel.pods import Pod

_ACCOUNTS: Final = re.compile(r" # handle \d+| packets \d+ bytes \d+")


def listing(pod: Pod) -> str:
    """List all that is there, with handles and counters: equal ones mean that nobody wrote."""
    return pod.run("nft", "-a", "list", "ruleset")


def rules_in(listing: str) -> str:
    """Take out of a listing what tells one writing of the same rules from another."""
    return _ACCOUNTS.sub("", listing)


def nat_rules(pod: Pod, tool: str) -> str:
    """List the chains and rules of a nat table as `iptables -S` does, without the policies."""
    lines = pod.run(tool, "-t", "nat", "-S").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("-P"))
