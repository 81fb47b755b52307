"""1,000 pods of one name and the same addresses: nothing is written anywhere but in the right one.

The agent is the program that runs on nodes, with its zygote and brokers; API server and container
runtime are played. What a namespace holds is read with the kernel's own tools.
"""

import asyncio
import resource
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest
import pytest_asyncio

from kernel.capture_agent.coming_namesakes import PORTS, captures, first_pods, newcomers
from kernel.capture_agent.conftest import host_rules
from kernel.capture_agent.namesake_node import NamesakeNode, namesake_node
from kernel.capture_agent.namesakes import Namesake, capture_of
from kernel.capture_agent.nft_listings import nat_rules, rules_in
from kernel.pods import ADDRESS, ADDRESS6, Pod
from kernel.side_by_side import with_each
from reference_rules import REFERENCE_RULES

pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNT: Final = 1000
NEW_PORT: Final = "9090"
LOOPBACKS: Final = {"iptables-nft": "127.0.0.1/32", "ip6tables-nft": "::1/128"}
"""As the tool of each family lists its loopback address."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NamesakeNode]:
    """A node to which all pods have come, half of them captured."""
    before = host_rules()
    captured = captures(COUNT)
    with _many_descriptors():
        async with namesake_node(tmp_path_factory.mktemp("agent"), captured) as node:
            await node.come(await first_pods(node, COUNT, captured))
            yield node
    assert host_rules() == before


@contextmanager
def _many_descriptors() -> Iterator[None]:
    """Have as many descriptors as may be for the block: each pod takes two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def reference(port: str, tool: str) -> str:
    """Give the rules of a program, as istio-init wrote them, for another port and family."""
    rules = REFERENCE_RULES.replace("--dport 80 ", f"--dport {port} ")
    return rules.replace("127.0.0.1/32", LOOPBACKS[tool])


def assert_each_holds_its_own(node: NamesakeNode, listings: dict[str, str]) -> None:
    """The right program, or else what was there before: mostly nothing at all."""
    holders: dict[str, list[Namesake]] = {}
    for namespace, listed in listings.items():
        namesake = node.pods[namespace]
        if namesake.program is None:
            assert (namespace, listed) == (namespace, namesake.before)
        else:
            holders.setdefault(namesake.program.hash, []).append(namesake)
    ports = {capture_of("any", port).hash: port for port in (*PORTS, NEW_PORT)}
    for program_hash, alike in holders.items():
        assert_hold(alike, ports[program_hash], listings)


def assert_hold(alike: list[Namesake], port: str, listings: dict[str, str]) -> None:
    """All of them hold the rules of a program, and nothing else."""
    pod = alike[0].pod
    for tool in LOOPBACKS:
        assert nat_rules(pod, tool) == reference(port, tool)
    expected = rules_in(listings[alike[0].namespace])
    tables = [line for line in expected.splitlines() if line.startswith("table")]
    assert tables == ["table ip nat {", "table ip6 nat {"]
    found = {each.namespace: rules_in(listings[each.namespace]) for each in alike}
    assert {namespace for namespace, rules in found.items() if rules != expected} == set()


async def test_each_namespace_holds_what_its_own_pod_is_to_hold(node: NamesakeNode) -> None:
    """A program in every second one; and the status tells each pod from all its namesakes."""
    evidence = await node.evidence()
    assert len(evidence) == COUNT // 2
    assert_each_holds_its_own(node, await node.listings())


async def test_pods_that_come_in_place_of_others_hold_their_own(node: NamesakeNode) -> None:
    """Whatever is said of them; other programs change meanwhile, and all else stays untouched."""
    await node.evidence()
    before = await node.listings()
    gone, changed, stay = _parted(node.pods.values())
    await node.go(gone)
    new = await newcomers(node, gone, stay)
    node.change({name: capture_of(name, NEW_PORT, 2) for name in changed})
    await node.come(new)
    await node.evidence()
    after = await node.listings()
    assert_each_holds_its_own(node, after)
    assert _of(stay, after) == _of(stay, before)


def _parted(pods: Iterable[Namesake]) -> tuple[list[Namesake], list[str], list[Namesake]]:
    """Choose pods that go, Kubernetes namespaces whose program changes, and all other pods."""
    ordered = list(pods)
    gone, others = ordered[: COUNT // 5], ordered[COUNT // 5 :]
    changed = [each.namespace for each in others if each.spec][: COUNT // 10]
    return gone, changed, [each for each in others if each.namespace not in changed]


def _of(pods: Iterable[Namesake], listings: dict[str, str]) -> dict[str, str | None]:
    return {each.namespace: listings.get(each.namespace) for each in pods}


async def test_a_foreign_deletion_is_repaired_and_counted_in_its_own_pod_alone(
    node: NamesakeNode,
) -> None:
    """Rules, handles, packet counters and evidence of all others stay as they are."""
    said = await node.evidence()
    captured = [each for each in node.pods.values() if each.program is not None]
    await asyncio.to_thread(with_each, (each.pod for each in captured), _connect)
    before = await node.listings()
    tampered = captured[len(captured) // 2]
    tampered.pod.run("iptables-nft", "-t", "nat", "-D", "OUTPUT", "-p", "tcp", "-j", "ISTIO_OUTPUT")
    uid = tampered.pod.uid
    said_then = await node.evidence(lambda found: found[uid].drift_repaired > 0)
    after = await node.listings()
    assert_each_holds_its_own(node, after)
    assert {each for each in after if after[each] != before[each]} == {tampered.namespace}
    assert {each for each in said if said_then[each] != said[each]} == {uid}
    repaired = said_then[uid]
    assert (repaired.drift_detected, repaired.drift_repaired) == (1, 1)
    assert repaired.last_drift
    assert repaired.last_drift.actor.startswith("iptables")
    others = (each for each in captured if each != tampered)
    assert all("packets 1 bytes" in after[each.namespace] for each in others)


def _connect(pod: Pod) -> None:
    """Open a connection of either family, so that rules count; nobody listens."""
    tries = (f"(exec 3<>/dev/tcp/{address}/9) 2>&-" for address in (ADDRESS, ADDRESS6))
    pod.run("bash", "-c", "; ".join((*tries, "true")))
