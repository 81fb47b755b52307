"""Which rules ahead of our jump could take the packets that it is there for: TCP, or also UDP.

Judged on the safe side: a rule counts unless it is clear that they pass it. Its addresses,
interfaces and matches are not weighed against the program. A rule of which more is known than its
text says has a remark in brackets ahead of all options, as no tool prints it, and always counts.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from capture_nat.rule_text import targets, words
from capture_nat.rulesets import Traffic
from capture_nat.tables import NatTable, TableChain

# Targets after which the kernel goes on with the next rule (iptables-extensions(8)).
_NON_TERMINAL: Final = frozenset(
    {
        "AUDIT", "CHECKSUM", "CLASSIFY", "CONNMARK", "CONNSECMARK", "CT", "DSCP", "ECN", "HMARK",
        "IDLETIMER", "LED", "LOG", "MARK", "NFLOG", "NOTRACK", "RATEEST", "SECMARK", "SET",
        "TCPMSS", "TCPOPTSTRIP", "TEE", "TOS", "TRACE", "TTL", "HL", "ULOG",
    }
)  # fmt: skip
_OTHER_PROTOCOLS: Final = frozenset(
    {"udp", "udplite", "icmp", "ipv6-icmp", "icmpv6", "sctp", "dccp", "gre", "esp", "ah", "igmp"}
)
_PROTOCOLS: Final = {Traffic.TCP: frozenset({"tcp"}), Traffic.EVERY: frozenset({"tcp", "udp"})}
_BEFORE_MATCHES: Final = frozenset({"-s", "-d", "-i", "-o", "-p"})


def shadowing_rule(
    rules_ahead: Sequence[str], table: NatTable, traffic: Traffic = Traffic.TCP
) -> str | None:
    """The first of the rules ahead of a jump that may decide about its packets; None if none does.

    `rules_ahead` are rules of a base chain; the table says what the chains they go to do. Linear in
    the size of the table, which others fill.
    """
    protocols = _PROTOCOLS[traffic]
    deciding = _deciding_chains(table, protocols) if rules_ahead else frozenset()
    matching = (rule for rule in rules_ahead if _may_match(rule, protocols))
    return next((rule for rule in matching if _may_decide(rule, table, deciding)), None)


def _may_decide(rule: str, table: NatTable, deciding: frozenset[str]) -> bool:
    # In a base chain RETURN is the policy, and a goto never comes back to the next rule.
    return _has_remark(rule) or any(
        flag == "-g" or target == "RETURN" or target in deciding or _is_terminal(target, table)
        for flag, target in targets(rule)
    )


def _deciding_chains(table: NatTable, protocols: frozenset[str]) -> frozenset[str]:
    """The chains in which, or in what they lead to, something may decide about such a packet."""
    deciding: set[str] = set()
    callers: defaultdict[str, set[str]] = defaultdict(set)
    for name, chain in table.chains.items():
        if any(map(_has_remark, chain.rules)):
            deciding.add(name)
        for target in _targets(chain, protocols):
            callers[target].add(name)
            if _is_terminal(target, table):
                deciding.add(name)
    waiting = list(deciding)
    while waiting:
        new = callers[waiting.pop()] - deciding
        deciding |= new
        waiting += new
    return frozenset(deciding)


def _targets(chain: TableChain, protocols: frozenset[str]) -> Iterator[str]:
    for rule in chain.rules:
        if _may_match(rule, protocols):
            yield from (target for _, target in targets(rule))


def _has_remark(rule: str) -> bool:
    _, _, *options = rule.split(" ", 2)
    return any(text.startswith("(") for text in options)


def _is_terminal(target: str, table: NatTable) -> bool:
    """Whether a target that is no chain may end a packet's way; RETURN only goes back."""
    return target not in table.chains and target not in _NON_TERMINAL and target != "RETURN"


def _may_match(rule: str, protocols: frozenset[str]) -> bool:
    """Whether the protocol that a rule asks for, if any, lets one of these through."""
    found = words(rule)[2:]
    while found:
        inverted = found[0] == "!"
        option, *rest = found[inverted:]
        if option not in _BEFORE_MATCHES or not rest:
            return True
        if option == "-p":
            return (
                rest[0] not in _OTHER_PROTOCOLS - protocols
                if not inverted
                else bool(protocols - {rest[0]})
            )
        found = rest[1:]
    return True
