"""No connection gets past the rules while they are written, changed and written again."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from capture_agent.iptables_backend import NFT
from capture_agent.nat_backends import NatBackend, NatChange, NatView
from capture_agent.netlink_views import NETLINK
from capture_agent.ownership import owned_chains
from capture_api.programs import Loopback, Outbound
from capture_nat.commands import DeleteRule, Flush, InsertFirst, Refill
from capture_nat.compiling import compile_program
from capture_nat.families import Family
from capture_nat.planning import Plan, plan_changes
from capture_nat.rulesets import Ruleset
from kernel.capture_agent import flood
from kernel.pods import ADDRESS, ADDRESS6, Pod
from unit.capture_agent.captures import program

DESTINATIONS = {Family.IPV4: "192.0.2.1", Family.IPV6: "2001:db8::1"}
PROXIES = (15001, 15002)
ROUNDS = {NETLINK: 1000, NFT: 300}
"""How often each family is written; the tools need a dozen processes for that."""

Rulesets = Mapping[Family, Ruleset]


def _to(port: int) -> Rulesets:
    """Everything outbound goes to a port."""
    outbound = Outbound(redirect_port=port, loopback=Loopback.REDIRECT)
    what = replace(program(), outbound=outbound)
    return {family: compile_program(what, family) for family in Family}


RULESETS = tuple(_to(port) for port in PROXIES)


def _again(ruleset: Ruleset) -> Plan:
    """Write all of it anew, jumps included."""
    jumps = [jump.rule for jump in ruleset.jumps]
    return Plan(
        commands=(
            *(Refill(chain) for chain in ruleset.chains),
            *(command for jump in jumps for command in (DeleteRule(jump), InsertFirst(jump))),
        )
    )


def _emptying(ruleset: Ruleset) -> Plan:
    return Plan(
        commands=(
            *(DeleteRule(jump.rule) for jump in ruleset.jumps),
            *(Flush(chain.name) for chain in ruleset.chains),
        )
    )


def _filling(ruleset: Ruleset) -> Plan:
    return Plan(
        commands=(
            *(Refill(chain) for chain in ruleset.chains),
            *(InsertFirst(jump.rule) for jump in ruleset.jumps),
        )
    )


@dataclass
class Flood:
    """Connections, made until it is stopped."""

    process: subprocess.Popen[str]

    def stop(self) -> tuple[int, int, int]:
        """Stop; connections that were captured, that escaped, that failed."""
        printed, _ = self.process.communicate(timeout=30)
        captured, escaped, failed = map(int, printed.split())
        return captured, escaped, failed


@contextlib.contextmanager
def flooded(pod: Pod, family: Family) -> Iterator[Flood]:
    """Flood a pod's kernel with connections of a family for the block, from inside."""
    destination = DESTINATIONS[family]
    pod.run("ip", "address", "add", destination, "dev", "lo")
    pod.run("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_close=1")
    argv = [sys.executable, flood.__file__, destination, "80", *map(str, PROXIES)]
    with subprocess.Popen(
        ["nsenter", "-t", str(pod.pid), "-n", *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "flooding\n"
        yield Flood(process)


async def rewrite(
    backend: NatBackend,
    pod: Pod,
    rulesets: Rulesets,
    planned: Callable[[Ruleset], Plan] | None = None,
) -> None:
    """Write both families: what is planned, by default what leads to the rule sets."""
    sandbox = pod.sandbox(ADDRESS, ADDRESS6)
    views = await backend.observe(sandbox, Family)
    changes = {}
    for family, ruleset in rulesets.items():
        view = views[family]
        assert isinstance(view, NatView)
        owned = owned_chains(view, frozenset())
        plan = planned(ruleset) if planned else plan_changes(ruleset, view.table, owned)
        assert not plan.is_empty
        changes[family] = NatChange(view, plan)
    assert await backend.apply(sandbox, changes) == {}
    await asyncio.sleep(0)  # what the kernel tells of it is heard here


async def test_no_connection_escapes_or_fails_while_rules_are_rewritten(
    pod: Pod, backend: NatBackend, served_by: str
) -> None:
    """In both families: changed, and written again as they are."""
    await rewrite(backend, pod, RULESETS[0])
    rounds = ROUNDS[served_by]
    with flooded(pod, Family.IPV4) as flood, flooded(pod, Family.IPV6) as flood6:
        for number in range(rounds // 2):
            rulesets = RULESETS[(number + 1) % 2]
            await rewrite(backend, pod, rulesets)
            await rewrite(backend, pod, rulesets, _again)
        counted = [each.stop() for each in (flood, flood6)]
    for captured, escaped, failed in counted:
        assert captured > rounds
        assert (escaped, failed) == (0, 0)


async def test_connections_escape_between_two_transactions(
    pod: Pod, backend: NatBackend, served_by: str
) -> None:
    """The control: emptied by one and filled by another, as peers do. The flood would tell."""
    await rewrite(backend, pod, RULESETS[0])
    with flooded(pod, Family.IPV4) as flood, flooded(pod, Family.IPV6) as flood6:
        for _ in range(ROUNDS[served_by] // 20):
            await rewrite(backend, pod, RULESETS[0], _emptying)
            await rewrite(backend, pod, RULESETS[0], _filling)
        counted = [each.stop() for each in (flood, flood6)]
    for _, escaped, _ in counted:
        assert escaped > 0
