"""What others do to our rules and beside them, as commands of iptables."""

import re
from collections.abc import Iterable

from capture_nat.families import Family

JUMP = "OUTPUT -p tcp -j ISTIO_OUTPUT"

FOREIGN = f"""\
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:FOREIGN - [0:0]
-A PREROUTING -p udp -m comment --comment "foreign ahead" -j FOREIGN
-A FOREIGN -s 10.0.0.0/8 -m comment --comment "foreign \\"-A OUTPUT\\" COMMIT" -j RETURN
-A FOREIGN -m comment --comment "foreign {"ü" * 8}" -j RETURN
-A POSTROUTING -d 192.0.2.1/32 -m comment --comment "foreign last" -j ACCEPT
COMMIT
"""

THEIRS = re.compile("foreign|AHEAD|ELSEWHERE|(-A |:|chain )RENAMED", re.IGNORECASE)
"""What is in a line that is not ours, whatever it refers to."""

TAMPERINGS = {
    "flush": ("Flushed", ["-F"]),
    "flush and delete": ("Flushed", ["-F", "-X"]),
    "rule deleted": ("RuleMissing", ["-D ISTIO_OUTPUT 2"]),
    "jump deleted": ("JumpMissing", [f"-D {JUMP}"]),
    "rule inserted": ("RuleInserted", ["-I ISTIO_OUTPUT 1 -d 10.0.0.1/32 -j RETURN"]),
    "rule appended": ("RuleInserted", ["-A ISTIO_OUTPUT -p tcp -j ACCEPT"]),
    "rule changed": (
        "RuleChanged",
        ["-R ISTIO_REDIRECT 1 -p tcp -j REDIRECT --to-ports 9999"],
    ),
    "rule duplicated": ("RuleDuplicated", ["-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN"]),
    "rules swapped": (
        "RuleReordered",
        ["-D ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN", "-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN"],
    ),
    "chain flushed": ("ChainFlushed", ["-F ISTIO_OUTPUT"]),
    "chain deleted": (
        "ChainMissing",
        ["-F ISTIO_INBOUND", "-F ISTIO_IN_REDIRECT", "-X ISTIO_IN_REDIRECT"],
    ),
    "jump duplicated": ("JumpDuplicated", [f"-A {JUMP}"]),
    "ACCEPT ahead": ("JumpShadowed", ["-I OUTPUT 1 -p tcp -j ACCEPT"]),
    "RETURN ahead": ("JumpShadowed", ["-I OUTPUT 1 -j RETURN"]),
    "port replaced": (
        "RuleChanged",
        [
            "-R ISTIO_INBOUND 1 -p tcp -m tcp --dport 81 -j ISTIO_IN_REDIRECT",
        ],
    ),
    "rules appended elsewhere": (
        "JumpMissing",
        [f"-D {JUMP}", "-N ELSEWHERE", "-A ELSEWHERE -p tcp -j ISTIO_OUTPUT"],
    ),
    "jump moved behind": ("JumpShadowed", [f"-D {JUMP}", "-A OUTPUT -j ACCEPT", f"-A {JUMP}"]),
    "chain renamed": ("ChainMissing", ["-E ISTIO_REDIRECT RENAMED"]),
    "jump led elsewhere": (
        "JumpMissing",
        [f"-D {JUMP}", "-A OUTPUT -p tcp -m comment --comment ELSEWHERE -j ISTIO_INBOUND"],
    ),
    "RETURN for the proxy's neighbour": (
        "RuleInserted",
        ["-I ISTIO_OUTPUT 1 -m owner --uid-owner 1000 -j RETURN"],
    ),
    "chain ahead": (
        "JumpShadowed",
        ["-N AHEAD", "-A AHEAD -p tcp -j ACCEPT", "-I PREROUTING 1 -j AHEAD"],
    ),
}

EMPTIES = "flush and delete"
"""The one that leaves nothing of anybody's."""

IN_IPV6 = {
    "127.0.0.1/32": "::1/128",
    "10.0.0.0/8": "fd00::/8",
    "10.0.0.1/32": "fd00::1/128",
    "192.0.2.1/32": "2001:db8::1/128",
}
"""The addresses of this file, in the other family."""


def translated(text: str, family: Family) -> str:
    """Write addresses as the family has them."""
    for address, in_ipv6 in IN_IPV6.items():
        if family is Family.IPV6:
            text = text.replace(address, in_ipv6)
    return text


def ours_in(lines: Iterable[str]) -> set[str]:
    """Pick our chains and rules from a listing."""
    return {line for line in lines if "ISTIO" in line and not THEIRS.search(line)}


def theirs_in(lines: Iterable[str]) -> list[str]:
    """Pick what is not ours."""
    return [line for line in lines if THEIRS.search(line)]
