"""What we write is any release's own: it lists, finds, deletes, saves and restores it.

Where the tools serve a pod they are of the release under test, too: that of an image to come.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from capture_agent.iptables_backend import IptablesBackend
from capture_agent.netlink_views import NETLINK
from capture_agent.reconciling import Reconciler
from capture_agent.records import PodRecord
from capture_agent.sandboxes import Sandbox
from capture_agent.zygote_client import Zygote
from capture_api.cidrs import Cidr
from capture_api.interfaces import InterfaceName
from capture_api.node_captures import PodState
from capture_api.owners import IdRange
from capture_api.ports import PortRange
from capture_api.programs import (
    Dns,
    Inbound,
    InboundTerm,
    Loopback,
    Outbound,
    OutboundTerm,
    Program,
    Proxy,
)
from capture_nat.compiling import compile_program
from capture_nat.families import Family
from kernel.capture_agent.released_tools import ReleaseBroker, ReleasedTools
from kernel.pods import ADDRESS, ADDRESS6, Pod
from unit.capture_agent.captures import capture, program, program_spec, record

_NETWORKS = (
    "10.0.0.0/8",
    "10.1.0.0/17",
    "192.0.2.1/32",
    "fd00::/8",
    "fd00:1::/33",
    "::10.1.2.3/128",
)


def _cidrs(*texts: str) -> tuple[Cidr, ...]:
    return tuple(map(Cidr.parse, texts))


def _ports(*texts: str) -> tuple[PortRange, ...]:
    return tuple(map(PortRange.parse, texts))


def _ids(*texts: str) -> tuple[IdRange, ...]:
    return tuple(map(IdRange.parse, texts))


REFERENCE, EVERY_KIND = "the reference", "every kind of term"
PROGRAMS = {
    REFERENCE: program(),
    EVERY_KIND: Program(
        chain_prefix="CAPTURE",
        proxy=Proxy(uids=(0, 1337), gids=(4294967294,)),
        inbound=Inbound(
            redirect_port=15006,
            include=(
                InboundTerm(
                    ports=_ports("80", "8000-8100"),
                    sources=_cidrs(*_NETWORKS),
                    interfaces=(InterfaceName("eth0"), InterfaceName("a_very-long.nam")),
                ),
            ),
            exclude=(InboundTerm(ports=_ports("1-65535")), InboundTerm(sources=_cidrs("::/0"))),
        ),
        outbound=Outbound(
            redirect_port=15001,
            include=(OutboundTerm(ports=_ports("443"), destinations=_cidrs(*_NETWORKS)),),
            exclude=(
                OutboundTerm(ports=_ports("50-60"), uids=_ids("1000-2000")),
                OutboundTerm(gids=_ids("5", "7-9")),
                OutboundTerm(
                    destinations=_cidrs("10.0.0.0/9", "fd00::/9"), uids=_ids("3"), gids=_ids("4")
                ),
            ),
            loopback=Loopback.INBOUND,
        ),
        dns=Dns(redirect_port=15053, servers=_cidrs("10.96.0.10/32", "fd00:10::a/128")),
    ),
    "everything, and queries": Program(
        chain_prefix="P",
        outbound=Outbound(redirect_port=15001, loopback=Loopback.BYPASS),
        dns=Dns(redirect_port=53),
    ),
}
NATIVE = {
    "a redirect": "tcp dport 80 redirect to :55",
    "a set of users": "meta skuid 1337 return",
    "a state of connections": "ct state new counter return",
}
NFT_FAMILY = {Family.IPV4: "ip", Family.IPV6: "ip6"}


@pytest.fixture
async def tools(zygote: Zygote, iptables_folder: Path) -> AsyncIterator[IptablesBackend]:
    """The backend that uses the command-line tools, by those of the release."""
    async with ReleaseBroker(zygote, iptables_folder) as broker:
        yield IptablesBackend(broker)


@pytest.fixture(params=Family)
def released(iptables_folder: Path, pod: Pod, request: pytest.FixtureRequest) -> ReleasedTools:
    """The tools of the release, in the pod."""
    return ReleasedTools(iptables_folder, pod, request.param)


def sandbox(released: ReleasedTools) -> Sandbox:
    """The pod's, with an address of the family alone."""
    return released.pod.sandbox(ADDRESS if released.family is Family.IPV4 else ADDRESS6)


def ruleset(pod: Pod) -> str:
    """List everything, with handles and counters."""
    return pod.run("nft", "-a", "list", "ruleset")


def rules(what: Program, family: Family) -> list[str]:
    """List the rules of a program as `iptables -S` does: by chain, the built-in ones first."""
    ruleset = compile_program(what, family)
    chains = sorted(ruleset.chains, key=lambda chain: chain.name)
    return [*(jump.rule for jump in ruleset.jumps), *(r for chain in chains for r in chain.rules)]


def listing(what: Program, family: Family) -> list[str]:
    """List chains and rules of a program as `iptables -S` does, without the policies."""
    names = sorted(compile_program(what, family).names)
    return [*(f"-N {name}" for name in names), *rules(what, family)]


def table(what: Program, family: Family) -> str:
    """Write a program for `iptables-restore`."""
    names = sorted(compile_program(what, family).names)
    declared = [f":{name} - [0:0]" for name in names]
    return "\n".join(["*nat", *declared, *rules(what, family), "COMMIT", ""])


def listed(released: ReleasedTools) -> list[str]:
    """List chains and rules by the release's own `-S`, without the policies."""
    return [line for line in released.nat("-S") if not line.startswith("-P ")]


async def captured(
    released: ReleasedTools, reconciler: Reconciler, what: Program, before: PodRecord | None = None
) -> PodRecord:
    """Bring a program in."""
    before = before or record(program_spec(what))
    after = await reconciler.capture(before, capture(what), sandbox(released))
    assert after.finding.state is PodState.PROGRAMMED, after.finding
    return after


@pytest.fixture(params=PROGRAMS)
def what(request: pytest.FixtureRequest) -> Program:
    """Each program in turn."""
    return PROGRAMS[request.param]


@pytest.mark.parametrize("served_by", [NETLINK], indirect=True)
async def test_what_we_wrote_is_listed_as_we_render_it(
    released: ReleasedTools, reconciler: Reconciler, what: Program
) -> None:
    """To the letter, and without a warning."""
    await captured(released, reconciler, what)
    assert listed(released) == listing(what, released.family)


@pytest.mark.parametrize("served_by", [NETLINK], indirect=True)
async def test_each_rule_is_found_and_deleted_by_its_text(
    released: ReleasedTools, reconciler: Reconciler, what: Program
) -> None:
    """And so are the empty chains; then it all comes back."""
    after = await captured(released, reconciler, what)
    for rule in rules(what, released.family):
        released.nat("-C", *rule.split()[1:])
        released.nat("-D", *rule.split()[1:])
    for name in compile_program(what, released.family).names:
        released.nat("-X", name)
    assert listed(released) == []
    after = await captured(released, reconciler, what, after)
    assert after.repaired == 1
    assert listed(released) == listing(what, released.family)


@pytest.mark.parametrize("served_by", [NETLINK], indirect=True)
async def test_all_is_flushed_and_deleted_at_once(
    released: ReleasedTools, reconciler: Reconciler
) -> None:
    """`-F` and `-X` leave nothing, and it all comes back."""
    what = PROGRAMS[EVERY_KIND]
    after = await captured(released, reconciler, what)
    released.nat("-F")
    released.nat("-X")
    assert listed(released) == []
    await captured(released, reconciler, what, after)
    assert listed(released) == listing(what, released.family)


async def test_a_table_that_was_saved_and_restored_is_no_drift(
    released: ReleasedTools, reconciler: Reconciler, what: Program
) -> None:
    """The release says the same in its own way, and nothing is written because of it."""
    before = await captured(released, reconciler, what)
    released.restore(released.save())
    restored = ruleset(released.pod)
    after = await captured(released, reconciler, what, before)
    assert after.detected == 0
    assert ruleset(released.pod) == restored
    assert listed(released) == listing(what, released.family)


async def test_rules_that_it_wrote_itself_are_adopted(
    released: ReleasedTools, reconciler: Reconciler, what: Program
) -> None:
    """Equal to the plan to the last rule, so they are taken as they are; a release removes them."""
    released.restore(table(what, released.family))
    written = ruleset(released.pod)
    before = record(program_spec(what))
    after = await reconciler.capture(before, capture(what), sandbox(released))
    assert (after.finding.state, after.detected) == (PodState.PROGRAMMED, 0)
    assert ruleset(released.pod) == written
    after = await reconciler.release(after, sandbox(released))
    assert (after.held_by, listed(released)) == ("", [])


async def test_rules_that_it_changed_are_put_right_once(
    released: ReleasedTools, reconciler: Reconciler
) -> None:
    """A rule replaced, one inserted and one deleted by the release; then there is nothing to do."""
    what = PROGRAMS[REFERENCE]
    after = await captured(released, reconciler, what)
    released.nat(
        "-R", "ISTIO_INBOUND", "1", "-p", "tcp", "--dport", "81", "-j", "ISTIO_IN_REDIRECT"
    )
    released.nat("-I", "ISTIO_OUTPUT", "-p", "tcp", "--sport", "7", "-j", "RETURN")
    released.nat("-D", "OUTPUT", "-p", "tcp", "-j", "ISTIO_OUTPUT")
    after = await captured(released, reconciler, what, after)
    assert after.repaired == 1
    assert listed(released) == listing(what, released.family)
    assert (await captured(released, reconciler, what, after)).detected == after.detected


@pytest.mark.parametrize("native", NATIVE)
async def test_a_table_that_nft_made_unreadable_is_reported_and_left(
    released: ReleasedTools, reconciler: Reconciler, native: str
) -> None:
    """Whatever the release makes of the rule: it calls the table incompatible, or fails."""
    what = PROGRAMS[REFERENCE]
    after = await captured(released, reconciler, what)
    nat = f"{NFT_FAMILY[released.family]} nat"
    native_rule = f"insert rule {nat} OUTPUT {NATIVE[native]}"
    released.pod.run("nft", f"{native_rule}; flush chain {nat} ISTIO_OUTPUT")
    before = ruleset(released.pod)
    after = await reconciler.capture(after, capture(what), sandbox(released))
    assert (after.finding.state, after.finding.reason) == (PodState.FAILED, "TableUnreadable")
    assert (await reconciler.release(after, sandbox(released))).finding.reason == "TableUnreadable"
    assert ruleset(released.pod) == before
