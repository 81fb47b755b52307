"""The `netlink` backend: the nat tables by nf_tables messages over a socket held in the pod.

Goals, in order:

1. Nobody else's change is lost: each transaction names the generation that was looked at, and the
   kernel refuses it if anybody wrote since.
2. One transaction for all, both families together: chains with our mark, rules, jumps, and what is
   to go.
3. Cheap where nothing happens: an unchanged generation means an unchanged ruleset, and a dump that
   equals one that was read before is not read again, whichever pod it came from.

Where it can't serve a family, the `iptables` backend does, and the view says why: a pod with legacy
tables, a pod whose user namespace is its own (the kernel takes owner matches from a sender in that
one only), a kernel that refuses what iptables may write. The kernel refuses a transaction as a
whole; so each family is tried alone then, and the tools serve only that which is refused again.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from capture_agent.held_sandboxes import HeldSandbox, HeldSandboxes, Seen
from capture_agent.iptables_backend import MARK
from capture_agent.nat_backends import (
    BackendError,
    NatBackend,
    NatChange,
    NatView,
    TableChangedError,
    TableFailure,
)
from capture_agent.netlink_views import NETLINK, Reading, completed, is_of_both, reading_of
from capture_agent.nft_channel import (
    ChannelError,
    DumpTooLargeError,
    StaleGenerationError,
    TransactionRefusedError,
)
from capture_agent.nft_rulesets import NftRulesets, RestlessRulesError
from capture_agent.sandboxes import Sandbox
from capture_nat.families import Family
from capture_nat.planning import Plan
from capture_nft.errors import NftError
from capture_nft.handles import handles_in
from capture_nft.plans import deleted_from, transaction_of
from capture_nft.rule_texts import RuleTexts
from capture_nft.transactions import Blob

_ATTEMPTS: Final = 5


class NetlinkBackend:
    """A `NatBackend` over held sockets; `tools` serves where it can't."""

    def __init__(self, sandboxes: HeldSandboxes, tools: NatBackend) -> None:
        self._sandboxes = sandboxes
        self._tools = tools
        self._texts = RuleTexts()
        self._rulesets = NftRulesets(self._texts)

    async def observe(
        self, sandbox: Sandbox, families: Iterable[Family]
    ) -> Mapping[Family, NatView | TableFailure]:
        """See `NatBackend`; what is read here is of one generation for all families."""
        chosen = tuple(families)
        held = await self._sandboxes.hold(sandbox)
        views: dict[Family, NatView | TableFailure] = {}
        together: Iterable[Family] = chosen
        for _ in range(_ATTEMPTS):
            seen, readings = await self._look(held, chosen)
            asked = [family for family in chosen if readings[family].needs_tools]
            if not asked:
                return {family: reading.view for family, reading in readings.items()}
            theirs = await self._tools.observe(sandbox, asked)
            views = _completed(held, readings, theirs)
            together = [family for family in asked if is_of_both(theirs[family])]
            # Between our look and theirs, rules may have come and gone.
            if not together or self._generation(held) == seen.generation:
                return views
        return {**views, **dict.fromkeys(together, RestlessRulesError())}

    async def apply(
        self, sandbox: Sandbox, changes: Mapping[Family, NatChange]
    ) -> Mapping[Family, TableFailure]:
        """See `NatBackend`."""
        ours = {each: change for each, change in changes.items() if _is_ours(change)}
        theirs = {each: change for each, change in changes.items() if not _is_ours(change)}
        # Ours first: what the tools write makes a new generation.
        failures = self._apply(sandbox, ours)
        return {**failures, **await self._tools.apply(sandbox, theirs)} if theirs else failures

    def is_unchanged(self, sandbox: Sandbox) -> bool:
        """See `NatBackend`."""
        held = self._sandboxes.get(sandbox)
        if held is None or held.seen is None:
            return False
        try:
            return held.channel.generation() == held.seen.generation and not (
                held.legacy.are_outdated or held.legacy.have_nat
            )
        except (NftError, OSError):
            return False

    async def _look(
        self, held: HeldSandbox, families: Iterable[Family]
    ) -> tuple[Seen, dict[Family, Reading]]:
        """Read the ruleset, and which families have a legacy nat table."""
        try:
            seen = await self._rulesets.read(held)
            legacy = [each for each in families if held.legacy.has_nat(each)]
        except (NftError, OSError) as error:
            raise self._unreadable(held.sandbox, error) from error
        for family in families:
            is_hooked = seen.contents[family].is_hooked
            held.hook_order.saw(family, nf_tables=is_hooked, legacy=family in legacy)
        return seen, {
            each: reading_of(held, seen, each, has_legacy=each in legacy) for each in families
        }

    def _generation(self, held: HeldSandbox) -> int:
        try:
            return held.channel.generation()
        except (NftError, OSError) as error:
            raise self._unreadable(held.sandbox, error) from error

    def _apply(
        self, sandbox: Sandbox, changes: Mapping[Family, NatChange]
    ) -> dict[Family, TableFailure]:
        held = self._sandboxes.get(sandbox)
        seen = held.seen if held else None
        viewed = {change.view.generation for change in changes.values()}
        if held is None or seen is None or viewed - {seen.generation}:
            return dict.fromkeys(changes, TableChangedError())
        return self._commit(held, seen, {each: change.plan for each, change in changes.items()})

    def _commit(
        self, held: HeldSandbox, seen: Seen, plans: Mapping[Family, Plan]
    ) -> dict[Family, TableFailure]:
        blob = self._blob(seen, plans)
        if blob is None:
            return {}
        try:
            held.channel.commit(blob, seen.generation)
        except StaleGenerationError:
            return dict.fromkeys(plans, TableChangedError())
        except TransactionRefusedError as error:
            return self._refused(held, seen, plans, error)
        except ChannelError as error:
            return dict.fromkeys(plans, self._unreadable(held.sandbox, error))
        return {}

    def _refused(
        self,
        held: HeldSandbox,
        seen: Seen,
        plans: Mapping[Family, Plan],
        error: TransactionRefusedError,
    ) -> dict[Family, TableFailure]:
        """Have no family wait for another that is refused; whoever comes second looks again."""
        if len(plans) > 1:
            alone = [self._commit(held, seen, {each: plan}) for each, plan in plans.items()]
            return {each: failure for failures in alone for each, failure in failures.items()}
        # The tools may know another way; if they don't, they say why.
        held.refusals.update(dict.fromkeys(plans, str(error)))
        return dict.fromkeys(plans, TableChangedError())

    def _blob(self, seen: Seen, plans: Mapping[Family, Plan]) -> Blob | None:
        chains = {family: deleted_from(plan) for family, plan in plans.items()}
        if not any(chains.values()):
            return _encoded(tuple(plans.items()))
        handles = {
            family: handles_in(seen.dump, family, names, self._texts)
            for family, names in chains.items()
        }
        return transaction_of(plans, MARK, handles)

    def _unreadable(self, sandbox: Sandbox, error: Exception) -> BackendError:
        if isinstance(error, ChannelError | OSError) and not isinstance(error, DumpTooLargeError):
            self._sandboxes.drop(sandbox)
        return BackendError("TableUnreadable", f"the kernel's rules can't be read: {error}")


def _is_ours(change: NatChange) -> bool:
    return change.view.variant == NETLINK


def _completed(
    held: HeldSandbox,
    readings: Mapping[Family, Reading],
    theirs: Mapping[Family, NatView | TableFailure],
) -> dict[Family, NatView | TableFailure]:
    return {
        each: completed(reading, theirs[each], held.hook_order.later(each))
        if each in theirs
        else reading.view
        for each, reading in readings.items()
    }


@lru_cache(maxsize=32)
def _encoded(plans: tuple[tuple[Family, Plan], ...]) -> Blob | None:
    """Encode plans once for all pods that they are right for; the largest take half a megabyte."""
    return transaction_of(dict(plans), MARK, {})
