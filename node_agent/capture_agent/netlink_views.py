"""What is said of a nat table that was read from nf_tables itself, with the tools' help or without.

The tools are asked about two kinds of tables: where there is a legacy table beside it, which may be
the one that counts, and where rules of others can't be read here. Those that the tools can't print
either are not written over.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from capture_agent.held_sandboxes import HeldSandbox, Seen
from capture_agent.iptables_backend import CONFLICT, MARK, NFT
from capture_agent.nat_backends import TABLE_FAILURES, BackendError, NatView, TableFailure
from capture_agent.ownership import owned_chains
from capture_nat.families import Family
from capture_nat.rule_text import readable
from capture_nat.rulesets import BUILTIN_CHAINS
from capture_nat.tables import UnreadableTableError
from capture_nft.contents import NatContent
from capture_nft.nat_tables import Places, filled_in

NETLINK: Final = "netlink"


class Reading(msgspec.Struct, frozen=True):
    """A table as nf_tables has it; `unknown` are the foreign rules in it that were not read."""

    view: NatView | BackendError
    has_legacy: bool = False
    unknown: Places = msgspec.field(default_factory=dict)

    @property
    def needs_tools(self) -> bool:
        """Whether nf_tables alone does not tell what the table is."""
        return isinstance(self.view, NatView) and bool(self.has_legacy or self.unknown)


def reading_of(held: HeldSandbox, seen: Seen, family: Family, *, has_legacy: bool) -> Reading:
    """Say what was read of a family."""
    content = seen.contents[family]
    if content.malformed:
        return Reading(BackendError("TableUnreadable", readable(content.malformed)))
    why = _why_not(held, content, family)
    view = NatView(
        table=content.table,
        marked=content.commented.get(MARK, frozenset()),
        variant=NFT if why else NETLINK,
        why=why,
        conflict=content.conflict,
        generation=seen.generation,
        changed_by=held.changed_by,
    )
    return Reading(view, has_legacy, _foreign_unknown(view, content))


def is_of_both(theirs: NatView | TableFailure) -> bool:
    """Whether what the tools say goes together with what was read here."""
    return isinstance(theirs, NatView) and theirs.variant == NFT


def completed(
    reading: Reading, theirs: NatView | TableFailure, later: str
) -> NatView | TableFailure:
    """Put together what was read here, and what the tools say.

    `later` names which of a nf_tables and a legacy table came later, "" if that is not known.
    """
    if not isinstance(reading.view, NatView):
        return reading.view
    if isinstance(theirs, TABLE_FAILURES):
        return _with_order(theirs, later)
    if not is_of_both(theirs):
        return replace(theirs, why="the pod has a legacy nat table")
    try:
        return replace(
            reading.view, table=filled_in(reading.view.table, reading.unknown, theirs.table)
        )
    except UnreadableTableError as error:
        return BackendError("TableUnreadable", readable(str(error)))


def _why_not(held: HeldSandbox, content: NatContent, family: Family) -> str:
    if held.own_user_namespace:
        return "the pod has a user namespace of its own"
    if content.is_owned:
        return "another process owns the nat table"
    return held.refusals.get(family, "")


def _foreign_unknown(view: NatView, content: NatContent) -> Places:
    """Say which unknown rules matter: in a chain of ours a rule that is not ours just goes."""
    if not content.unknown:
        return content.unknown
    ours = owned_chains(view, frozenset()) - BUILTIN_CHAINS
    return {place: why for place, why in content.unknown.items() if place[0] not in ours}


def _with_order(failure: TableFailure, later: str) -> TableFailure:
    if not (isinstance(failure, BackendError) and failure.reason == CONFLICT and later):
        return failure
    return BackendError(CONFLICT, f"the {later} table came later: its rules win; {failure}")
