"""The way between pods of different nodes: routes on each node to the others, and no NAT on them.

The CNI plugin masquerades whatever a pod sends beyond its own node's range, pod by pod. A rule
ahead of its rules lets what goes to another node's pods keep its address.
"""

from collections.abc import Iterable, Iterator, Mapping

from local_cluster.commands import run
from local_cluster.node import POD_NETWORK_V4, POD_NETWORK_V6, Node

UNLESS_THERE = (
    '"$0" -w -t nat -C POSTROUTING "$@" 2>/dev/null || "$0" -w -t nat -I POSTROUTING "$@"'
)


def connect_pods(pids: Mapping[Node, int], *, ipv6: bool) -> None:
    """Connect the pods of these running nodes with each other; what is there already stays.

    `pids` maps each node to its PID 1, as the host numbers it.
    """
    for node, pid in pids.items():
        inside = ["nsenter", "--target", str(pid), "--mount", "--net", "--pid", "--"]
        others = [other for other in pids if other != node]
        commands = [*ways_v4(others), *(ways_v6(node, others) if ipv6 else ())]
        for command in commands:
            run([*inside, *command])


def ways_v4(others: Iterable[Node]) -> Iterator[list[str]]:
    """Yield the commands that lead a node's IPv4 traffic to the other nodes' pods."""
    for other in others:
        yield ["ip", "route", "replace", str(other.pods_v4), "via", str(other.address)]
    yield unmasqueraded("iptables", str(POD_NETWORK_V4))


def ways_v6(node: Node, others: Iterable[Node]) -> Iterator[list[str]]:
    """Yield the commands that do the same for IPv6, between link-local addresses."""
    yield ["ip", "address", "replace", str(node.link_local), "dev", "eth0", "nodad"]
    for other in others:
        way = ["via", str(other.link_local.ip), "dev", "eth0"]
        yield ["ip", "route", "replace", str(other.pods_v6), *way]
    yield unmasqueraded("ip6tables", str(POD_NETWORK_V6))


def unmasqueraded(iptables: str, pods: str) -> list[str]:
    """Return the command that lets traffic within a network pass without NAT, ahead of the rest."""
    return ["sh", "-c", UNLESS_THERE, iptables, "-s", pods, "-d", pods, "-j", "ACCEPT"]
