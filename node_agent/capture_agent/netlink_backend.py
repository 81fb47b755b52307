"""The `netlink` backend: the nat table by nf_tables messages over a socket held in the pod.

Goals, in order:

1. Nobody else's change is lost: each transaction names the generation that was looked at, and the
   kernel refuses it if anybody wrote since.
2. One transaction for all: chains with our mark, rules, jumps, and what is to go.
3. Cheap where nothing happens: an unchanged generation means an unchanged ruleset, and a dump that
   equals one that was read before is not read again, whichever pod it came from.

Where it can't serve, the `iptables` backend does, and the view says why: a pod with legacy tables,
a pod whose user namespace is its own (the kernel takes owner matches from a sender in that one
only), a kernel that refuses what iptables may write. Rules of others that can't be read here are
read by the tools; what the tools can't print either is not written over.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Final

from capture_agent.held_sandboxes import HeldSandbox, HeldSandboxes, Seen
from capture_agent.iptables_backend import CONFLICT, MARK, NFT
from capture_agent.nat_backends import BackendError, NatBackend, NatView, TableChangedError
from capture_agent.nft_channel import (
    ChannelError,
    DumpTooLargeError,
    StaleGenerationError,
    TransactionRefusedError,
)
from capture_agent.ownership import owned_chains
from capture_agent.sandboxes import Sandbox
from capture_nat.families import Family
from capture_nat.planning import Plan
from capture_nat.rule_text import readable
from capture_nat.rulesets import BUILTIN_CHAINS
from capture_nat.tables import UnreadableTableError
from capture_nft.contents import Contents, NatContent, content_of, handles_of
from capture_nft.dump_cache import DumpCache
from capture_nft.errors import NftError
from capture_nft.nat_tables import Places, filled_in
from capture_nft.plans import messages_of, needs_handles
from capture_nft.rule_texts import RuleTexts
from capture_nft.snapshots import decode
from capture_nft.transactions import Blob

NETLINK: Final = "netlink"

_ATTEMPTS: Final = 5


class NetlinkBackend:
    """A `NatBackend` over held sockets; `tools` serves where it can't."""

    def __init__(self, sandboxes: HeldSandboxes, tools: NatBackend) -> None:
        self._sandboxes = sandboxes
        self._tools = tools
        self._cache: DumpCache[Contents] = DumpCache()
        self._texts = RuleTexts()

    async def observe(self, sandbox: Sandbox, family: Family) -> NatView:
        """See `NatBackend`."""
        held = await self._sandboxes.hold(sandbox)
        for _ in range(_ATTEMPTS):
            seen, has_legacy = self._look(held, family)
            view = self._view(held, seen, family)
            unknown = _foreign_unknown(view, seen.contents[family])
            if not (has_legacy or unknown):
                return view
            theirs = await self._ask_tools(held, family)
            if theirs.variant != NFT:
                return replace(theirs, why="the pod has a legacy nat table")
            # Between our look and theirs, rules may have come and gone.
            if self._generation(held) == seen.generation:
                return _filled_in(view, unknown, theirs)
        raise _restless()

    async def apply(self, sandbox: Sandbox, family: Family, view: NatView, plan: Plan) -> None:
        """See `NatBackend`."""
        if view.variant != NETLINK:
            await self._tools.apply(sandbox, family, view, plan)
            return
        held = self._sandboxes.get(sandbox)
        seen = held.seen if held else None
        if held is None or seen is None or seen.generation != view.generation:
            raise TableChangedError
        blob = self._blob(seen, family, plan)
        if blob is not None:
            self._commit(held, seen, blob)

    def is_unchanged(self, sandbox: Sandbox) -> bool:
        """See `NatBackend`."""
        held = self._sandboxes.get(sandbox)
        if held is None or held.seen is None:
            return False
        try:
            return held.channel.generation() == held.seen.generation and not (
                held.legacy.are_outdated or any(map(held.legacy.has_nat, Family))
            )
        except (NftError, OSError):
            return False

    def _view(self, held: HeldSandbox, seen: Seen, family: Family) -> NatView:
        content = seen.contents[family]
        if content.malformed:
            raise BackendError("TableUnreadable", readable(content.malformed))
        why = self._why_not(held, content)
        return NatView(
            table=content.table,
            marked=frozenset(n for n, comment in content.comments.items() if comment == MARK),
            variant=NFT if why else NETLINK,
            why=why,
            conflict=content.conflict,
            generation=seen.generation,
            changed_by=held.changed_by,
        )

    def _why_not(self, held: HeldSandbox, content: NatContent) -> str:
        if held.own_user_namespace:
            return "the pod has a user namespace of its own"
        if content.is_owned:
            return "another process owns the nat table"
        return held.refusal

    async def _ask_tools(self, held: HeldSandbox, family: Family) -> NatView:
        try:
            return await self._tools.observe(held.sandbox, family)
        except BackendError as error:
            later = held.hook_order.later(family)
            if error.reason != CONFLICT or not later:
                raise
            message = f"the {later} table came later: its rules win; {error}"
            raise BackendError(CONFLICT, message) from error

    def _look(self, held: HeldSandbox, family: Family) -> tuple[Seen, bool]:
        """Read the ruleset, and whether there is a legacy nat table."""
        try:
            seen = self._ruleset(held)
            has_legacy = held.legacy.has_nat(family)
        except (NftError, OSError) as error:
            raise self._unreadable(held.sandbox, error) from error
        chains = seen.contents[family].table.chains.values()
        is_hooked = any(chain.policy is not None for chain in chains)
        held.hook_order.saw(family, nf_tables=is_hooked, legacy=has_legacy)
        return seen, has_legacy

    def _generation(self, held: HeldSandbox) -> int:
        try:
            return held.channel.generation()
        except (NftError, OSError) as error:
            raise self._unreadable(held.sandbox, error) from error

    def _ruleset(self, held: HeldSandbox) -> Seen:
        """Read the ruleset, unless it is known.

        Raises:
            NftError: it could not be read.
        """
        channel = held.channel
        generation = channel.generation()
        if held.seen is not None and held.seen.generation == generation:
            return held.seen
        for _ in range(_ATTEMPTS):
            dump = channel.dump_tables() + channel.dump_chains() + channel.dump_rules()
            after = channel.generation()
            if after == generation:
                held.seen = Seen(generation, dump, self._contents(dump))
                return held.seen
            generation = after
        raise _restless()

    def _contents(self, dump: bytes) -> Contents:
        contents = self._cache.find(dump)
        if contents is None:
            snapshot = decode(dump)
            contents = {each: content_of(snapshot, each, self._texts) for each in Family}
            self._cache.remember(dump, contents)
        return contents

    def _blob(self, seen: Seen, family: Family, plan: Plan) -> Blob | None:
        if not needs_handles(plan):
            return _encoded(plan, family)
        handles = handles_of(decode(seen.dump), family, self._texts)
        return Blob.of(messages_of(plan, family, MARK, handles))

    def _commit(self, held: HeldSandbox, seen: Seen, blob: Blob) -> None:
        try:
            held.channel.commit(blob, seen.generation)
        except StaleGenerationError as error:
            raise TableChangedError from error
        except TransactionRefusedError as error:
            # The tools may know another way; if they don't, they say why.
            held.refusal = str(error)
            raise TableChangedError from error
        except ChannelError as error:
            raise self._unreadable(held.sandbox, error) from error

    def _unreadable(self, sandbox: Sandbox, error: Exception) -> BackendError:
        if isinstance(error, ChannelError | OSError) and not isinstance(error, DumpTooLargeError):
            self._sandboxes.drop(sandbox)
        return BackendError("TableUnreadable", f"the kernel's rules can't be read: {error}")


def _foreign_unknown(view: NatView, content: NatContent) -> Places:
    """Say which unknown rules matter: in a chain of ours a rule that is not ours just goes."""
    ours = owned_chains(view, frozenset()) - BUILTIN_CHAINS
    return {place: why for place, why in content.unknown.items() if place[0] not in ours}


def _filled_in(view: NatView, unknown: Places, theirs: NatView) -> NatView:
    try:
        return replace(view, table=filled_in(view.table, unknown, theirs.table))
    except UnreadableTableError as error:
        raise BackendError("TableUnreadable", readable(str(error))) from error


def _restless() -> BackendError:
    return BackendError("TableUnreadable", "the rules keep changing while they are read")


@lru_cache(maxsize=256)
def _encoded(plan: Plan, family: Family) -> Blob | None:
    """Encode a plan once for all pods that it is right for."""
    messages = messages_of(plan, family, MARK, {})
    return Blob.of(messages) if messages else None
