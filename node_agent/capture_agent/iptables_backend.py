"""The `iptables` backend: the nat table through the command-line tools, nft or legacy variant.

Reading. `iptables-nft-save` lists rules; it shows neither the marks on chains, nor that a table is
switched off, nor who else decides about our packets, so those come from nf_tables itself. The
legacy table is only looked at when it exists already: the legacy tools load modules and create it
otherwise, and a legacy table's hooks change which rules win.

Writing. First the chains that are missing are created with our mark on them: empty and referenced
by nobody, they change nothing for packets. Should somebody else have created one of them since we
looked, nothing is done: it would not be ours to fill. Then one `iptables-restore --noflush` fills
and links them: one transaction, so no packet passes between two states. Killed in between, the next
pass finds marked chains and goes on. Each family has tools of its own: they are written one after
the other.

Which variant. The kernel runs nf_tables and legacy rules both, and of two nat hooks the one that
was registered last wins. A pod whose rules or chains are in the legacy table alone (an init
container with legacy tools wrote them) is served there; a pod with rules in both is a
`BackendConflict`: whatever we wrote, somebody's rules would be dead, ours perhaps.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from capture_agent.broker_client import Broker, result_of
from capture_agent.broker_protocol import (
    DumpNfTables,
    Execute,
    Executed,
    LegacyTables,
    ListLegacyTables,
    NfTables,
)
from capture_agent.by_family import failures_in, one_by_one
from capture_agent.nat_backends import BackendError, NatChange, NatView, TableFailure
from capture_agent.python_iptables_backend import LegacyTools
from capture_agent.sandboxes import Sandbox
from capture_api.names import GROUP
from capture_nat.commands import WakeTable, restore_input
from capture_nat.families import Family
from capture_nat.planning import Plan
from capture_nat.rule_text import readable
from capture_nat.rulesets import BUILTIN_CHAINS
from capture_nat.tables import NatTable, UnreadableTableError, parse_table
from capture_nft.contents import NatContent, content_of
from capture_nft.errors import NftError
from capture_nft.rule_texts import RuleTexts
from capture_nft.snapshots import decode

MARK: Final = GROUP
"""The comment on every nf_tables chain that we created."""

NFT: Final = "iptables-nft"
CONFLICT: Final = "BackendConflict"

_TOOL: Final = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}
_NFT_FAMILY: Final = {Family.IPV4: "ip", Family.IPV6: "ip6"}
_BASE_CHAINS = {
    "PREROUTING": "type nat hook prerouting priority -100; policy accept;",
    "OUTPUT": "type nat hook output priority -100; policy accept;",
}


@dataclass(frozen=True, slots=True)
class IptablesBackend:
    """A `NatBackend` that runs the tools of the image in the pod's network namespace."""

    broker: Broker
    legacy: LegacyTools = field(default_factory=LegacyTools)

    async def observe(
        self, sandbox: Sandbox, families: Iterable[Family]
    ) -> Mapping[Family, NatView | TableFailure]:
        """Read tables, each of the variant that serves it."""
        return await one_by_one(families, lambda family: self._observe(sandbox, family))

    async def _observe(self, sandbox: Sandbox, family: Family) -> NatView:
        results = await self.broker.run(
            sandbox,
            DumpNfTables(),
            ListLegacyTables(family),
            Execute((f"{_TOOL[family]}-nft-save", "-t", "nat")),
        )
        nft = _parse(result_of(results, Executed), NFT)
        if "nat" in result_of(results, LegacyTables).names:
            legacy = await self._observe_legacy(sandbox, family)
            if _has_rules(legacy) and _has_rules(nft):
                raise _conflict(family)
            if _has_rules(legacy) or (_has_chains(legacy) and not _has_chains(nft)):
                return NatView(legacy, frozenset(), self.legacy.variant)
        content = _content(result_of(results, NfTables), family)
        return NatView(
            _really_there(nft, content), _marked(content), NFT, conflict=content.conflict
        )

    async def _observe_legacy(self, sandbox: Sandbox, family: Family) -> NatTable:
        results = await self.broker.run(sandbox, Execute(self.legacy.save(family)))
        return _parse(result_of(results, Executed), self.legacy.variant)

    async def apply(
        self, sandbox: Sandbox, changes: Mapping[Family, NatChange]
    ) -> Mapping[Family, TableFailure]:
        """Write plans, each with the tools of the variant that its view came from."""
        return failures_in(
            await one_by_one(changes, lambda family: self._apply(sandbox, family, changes[family]))
        )

    async def _apply(self, sandbox: Sandbox, family: Family, change: NatChange) -> None:
        steps = self._write_steps(family, change.view.variant, change.plan)
        for step, result in zip(steps, await self.broker.run(sandbox, *steps), strict=False):
            _check(step, result_of((result,), Executed))

    def _write_steps(self, family: Family, variant: str, plan: Plan) -> list[Execute]:
        if variant != self.legacy.variant:
            return _nft_steps(family, plan)
        rules = restore_input(plan.commands)
        return [_writing(self.legacy.restore(family), rules)] if rules else []

    def is_unchanged(self, sandbox: Sandbox) -> bool:
        """Tell nothing: the tools have to be asked."""
        del sandbox
        return False


def _nft_steps(family: Family, plan: Plan) -> list[Execute]:
    tool = _TOOL[family]
    steps = []
    if plan.create:
        steps.append(_writing(("nft", "-f", "-"), _marking_script(family, plan.create)))
    if rules := restore_input(plan.commands):
        steps.append(_writing((f"{tool}-nft-restore", "--noflush"), rules))
    if WakeTable() in plan.commands:  # once all is in it
        steps.append(_writing(("nft", "-f", "-"), f"add table {_NFT_FAMILY[family]} nat\n"))
    # Fails for a base chain that somebody has put a rule into meanwhile: then it has to stay.
    steps.extend(Execute((f"{tool}-nft", "-t", "nat", "-X", name)) for name in plan.drop_if_empty)
    return steps


def _writing(argv: tuple[str, ...], stdin: str) -> Execute:
    return Execute(argv, stdin, must_succeed=True)


def _marking_script(family: Family, names: tuple[str, ...]) -> str:
    """Create chains with our mark; the names are compiled from a checked prefix, never typed in."""
    table = f"{_NFT_FAMILY[family]} nat"
    chains = "".join(
        f'create chain {table} {name} {{ {_BASE_CHAINS.get(name, "")} comment "{MARK}"; }}\n'
        for name in names
    )
    return f"add table {table}\n{chains}"


def _content(held: NfTables, family: Family) -> NatContent:
    try:
        content = content_of(decode(held.dump), family, RuleTexts())
    except NftError as error:
        message = f"the kernel's rules can't be read: {error}"
        raise BackendError("TableUnreadable", message) from error
    if content.malformed:
        raise BackendError("TableUnreadable", readable(content.malformed))
    return content


def _really_there(table: NatTable, content: NatContent) -> NatTable:
    """Take out the built-in chains that `iptables-nft-save` lists although nobody created them."""
    there = table.without(BUILTIN_CHAINS - content.table.chains.keys())
    return replace(there, is_dormant=content.table.is_dormant)


def _marked(content: NatContent) -> frozenset[str]:
    return content.commented.get(MARK, frozenset())


def _parse(saved: Executed, variant: str) -> NatTable:
    if saved.returncode != 0:
        raise BackendError("TableUnreadable", f"{variant}-save failed: {_last_line(saved.stderr)}")
    try:
        return parse_table(saved.stdout)
    except UnreadableTableError as error:
        raise BackendError("TableUnreadable", str(error)) from error


def _check(step: Execute, result: Executed) -> None:
    if result.returncode != 0 and step.must_succeed:
        raise BackendError("WriteFailed", f"{step.argv[0]} failed: {_last_line(result.stderr)}")


def _has_rules(table: NatTable) -> bool:
    return any(chain.rules for chain in table.chains.values())


def _has_chains(table: NatTable) -> bool:
    return not BUILTIN_CHAINS.issuperset(table.chains)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return readable(lines[-1]) if lines else "it printed nothing"


def _conflict(family: Family) -> BackendError:
    return BackendError(
        CONFLICT,
        "rules in both the nf_tables and the legacy nat table of the pod; the table whose hooks "
        f"were registered last wins, so remove the rules of one: {_TOOL[family]}-legacy -t nat -F, "
        f"or {_TOOL[family]}-nft -t nat -F",
    )
