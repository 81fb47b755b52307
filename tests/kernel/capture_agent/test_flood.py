"""No connection gets past the rules while they are written, changed and written again."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from capture_agent.broker_client import Broker
from capture_agent.held_sandboxes import HeldSandboxes
from capture_agent.iptables_backend import IptablesBackend
from capture_agent.netlink_backend import NetlinkBackend
from capture_agent.ownership import owned_chains
from capture_agent.zygote_client import Zygote
from capture_api.programs import Loopback, Outbound
from capture_nat.commands import DeleteRule, Flush, InsertFirst, Refill
from capture_nat.compiling import compile_program
from capture_nat.families import Family
from capture_nat.planning import Plan, plan_changes
from capture_nat.rulesets import Ruleset
from kernel.capture_agent import flood
from kernel.capture_agent.single_tables import viewed, write
from kernel.pods import Pod
from unit.capture_agent.captures import program

V4 = Family.IPV4
DESTINATION = "192.0.2.1"
PROXIES = (15001, 15002)
ROUNDS = 1000


def _to(port: int) -> Ruleset:
    """Everything outbound goes to a port."""
    outbound = Outbound(redirect_port=port, loopback=Loopback.REDIRECT)
    return compile_program(replace(program(), outbound=outbound), V4)


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
def flooded(pod: Pod) -> Iterator[Flood]:
    """Flood a pod's kernel with connections for the block, from inside."""
    pod.run("ip", "address", "add", f"{DESTINATION}/32", "dev", "lo")
    pod.run("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_close=1")
    argv = [sys.executable, flood.__file__, DESTINATION, "80", *map(str, PROXIES)]
    with subprocess.Popen(
        ["nsenter", "-t", str(pod.pid), "-n", *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "flooding\n"
        yield Flood(process)


@pytest.fixture
async def netlink(tools: IptablesBackend, zygote: Zygote) -> AsyncIterator[NetlinkBackend]:
    """The backend that writes over held sockets."""
    async with Broker(zygote) as opener:
        held = HeldSandboxes(opener, lambda _: None, lambda _: None)
        yield NetlinkBackend(held, tools)
        held.close_all()


async def rewrite(backend: NetlinkBackend, pod: Pod, ruleset: Ruleset, plan: Plan | None) -> None:
    """Write a plan, by default that which leads to the rule set."""
    sandbox = pod.sandbox()
    view = await viewed(backend, sandbox)
    changes = plan or plan_changes(ruleset, view.table, owned_chains(view, frozenset()))
    assert not changes.is_empty
    await write(backend, sandbox, view, changes)
    await asyncio.sleep(0)  # what the kernel tells of it is heard here


async def test_no_connection_escapes_or_fails_while_rules_are_rewritten(
    pod: Pod, netlink: NetlinkBackend
) -> None:
    """A thousand times: changed, and written again as they are."""
    await rewrite(netlink, pod, RULESETS[0], None)
    with flooded(pod) as flood:
        for number in range(ROUNDS // 2):
            ruleset = RULESETS[(number + 1) % 2]
            await rewrite(netlink, pod, ruleset, None)
            await rewrite(netlink, pod, ruleset, _again(ruleset))
        captured, escaped, failed = flood.stop()
    assert captured > ROUNDS
    assert (escaped, failed) == (0, 0)


async def test_connections_escape_between_two_transactions(
    pod: Pod, netlink: NetlinkBackend
) -> None:
    """The control: emptied by one and filled by another, as peers do. The flood would tell."""
    await rewrite(netlink, pod, RULESETS[0], None)
    with flooded(pod) as flood:
        for _ in range(ROUNDS // 20):
            await rewrite(netlink, pod, RULESETS[0], _emptying(RULESETS[0]))
            await rewrite(netlink, pod, RULESETS[0], _filling(RULESETS[0]))
        _, escaped, _ = flood.stop()
    assert escaped > 0
