"""Which pods come to the node of `test_pods_of_one_name`, and what is falsely said of some."""

import itertools
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import Enum, auto
from typing import Final

from capture_api.capture_programs import CaptureProgramSpec
from kernel.capture_agent.namesake_node import NamesakeNode
from kernel.capture_agent.namesakes import (
    ADDRESS_MISSING,
    CHAIN_CONFLICT,
    ELSEWHERE,
    Namesake,
    capture_of,
)
from kernel.capture_agent.nft_listings import listing
from kernel.pods import started_pod

PORTS: Final = ("80", "8080")
"""What makes the programs two."""
FOREIGN: Final = """\
*nat
:ISTIO_OUTPUT - [0:0]
-A ISTIO_OUTPUT -p tcp -m tcp --dport 25 -j RETURN
-A OUTPUT -p tcp -j ISTIO_OUTPUT
COMMIT
"""
"""Somebody else's rules, in a chain of the name that ours has."""


def captures(count: int) -> dict[str, CaptureProgramSpec]:
    """Capture every second of so many pods, with the one program or the other in turn."""
    return {
        (namespace := f"ns-{number}"): capture_of(namespace, port)
        for number, port in zip(range(0, count, 2), itertools.cycle(PORTS), strict=False)
    }


async def first_pods(
    node: NamesakeNode, count: int, captured: Mapping[str, CaptureProgramSpec]
) -> list[Namesake]:
    """Start pods, some with rules of somebody else's, and shuffle them."""
    chosen = random.Random(0)  # noqa: S311 - the same in every run
    started = await node.started(started_pod() for _ in range(count))
    pods = [
        Namesake(name, pod, captured.get(name), is_told=chosen.random() < 0.5)
        for name, pod in ((f"ns-{number}", pod) for number, pod in enumerate(started))
    ]
    for number in range(10, count, 25):  # every other one is captured
        pods[number] = _with_foreign_rules(pods[number])
    chosen.shuffle(pods)
    return pods


def _with_foreign_rules(namesake: Namesake) -> Namesake:
    for tool in ("iptables-nft-restore", "ip6tables-nft-restore"):
        namesake.pod.run(tool, stdin=FOREIGN)
    return replace(namesake, obstacle=CHAIN_CONFLICT, before=listing(namesake.pod))


class Coming(Enum):
    """How a pod comes in place of another one."""

    PLAINLY = auto()
    WITH_RULES = auto()
    """Of somebody else's: if they are taken for the former pod's, they are overwritten."""
    BY_PROCESS = auto()
    """It is said that its process is another pod's."""
    BY_PATH = auto()
    """It is said that its network namespace is where another pod's is."""
    INSIDE = auto()
    """Its process was started in another pod's network namespace."""


async def newcomers(
    node: NamesakeNode, gone: Iterable[Namesake], others: Iterable[Namesake]
) -> list[Namesake]:
    """Start a pod in place of each that is gone, in every way.

    Most get the inode number of a network namespace that is gone too.

    Args:
        node: where they start.
        gone: the pods that were there before.
        others: as many that go on.
    """
    ways = list(zip(gone, others, itertools.cycle(Coming), strict=False))
    pods = await node.started(
        started_pod(inside=other.pod if way is Coming.INSIDE else None) for _, other, way in ways
    )
    return [
        _come(node, Namesake(old.namespace, pod, old.spec, old.is_told), way, other)
        for (old, other, way), pod in zip(ways, pods, strict=True)
    ]


def _come(node: NamesakeNode, own: Namesake, way: Coming, other: Namesake) -> Namesake:
    elsewhere = replace(own, addresses=ELSEWHERE, obstacle=ADDRESS_MISSING)
    match way:
        case Coming.PLAINLY:
            return own
        case Coming.WITH_RULES:
            return _with_foreign_rules(own)
        case Coming.BY_PROCESS:
            return replace(own, is_told=True, claimed_pid=other.pod.pid)
        case Coming.BY_PATH:
            return replace(elsewhere, is_told=True, claimed_path=node.path_to(other.pod))
        case Coming.INSIDE:
            return replace(elsewhere, is_inside_another=True)
