"""What a table's content comes to against a rule set, worked out once for all pods that hold it.

Pods that hold the same have one table object between them, as long as the backend remembers what it
read. So a table is known again by its identity, without comparing it: most looks find what an
earlier one found, in that pod or another, before and after a repair alike.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from capture_agent.nat_backends import NatView
from capture_agent.ownership import owned_chains
from capture_nat.drift import Difference, find_drift
from capture_nat.planning import Plan, plan_changes
from capture_nat.rulesets import Ruleset
from capture_nat.tables import NatTable

MAX_TABLES: Final = 64
"""How many judgements are remembered: a few for each program of a node."""
MAX_RULES: Final = 1024
"""Rules of the largest table whose judgement is remembered; whoever is root in a pod decides how
long its chains are."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Which chains of a table are ours, what is different, and what writing would mend it."""

    owned: frozenset[str]
    differences: tuple[Difference, ...]
    plan: Plan


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A judgement, and the objects that it is known by: alive, so that no others have their IDs."""

    judgement: Judgement
    ruleset: Ruleset | None
    table: NatTable


_Key = tuple[int, int, frozenset[str], frozenset[str]]


class Judgements:
    """Judges tables; of too many judgements, those go that were not asked for the longest."""

    def __init__(self, max_tables: int = MAX_TABLES) -> None:
        self._max_tables = max_tables
        self._remembered: OrderedDict[_Key, _Remembered] = OrderedDict()

    def judge(self, ruleset: Ruleset | None, view: NatView, recorded: frozenset[str]) -> Judgement:
        """Hold what was seen against a rule set, or against nothing of ours.

        `recorded` are the chains that the journal says are ours.

        Raises:
            ChainConflictError: a chain with a name of ours is not ours and not as planned.
        """
        key = (id(ruleset), id(view.table), view.marked, recorded)
        known = self._remembered.get(key)
        if known is not None:
            self._remembered.move_to_end(key)
            return known.judgement
        judgement = _judgement(ruleset, view, recorded)
        self._remember(key, _Remembered(judgement, ruleset, view.table))
        return judgement

    def _remember(self, key: _Key, remembered: _Remembered) -> None:
        rules = sum(len(chain.rules) for chain in remembered.table.chains.values())
        if rules > MAX_RULES:
            return
        self._remembered[key] = remembered
        if len(self._remembered) > self._max_tables:
            self._remembered.popitem(last=False)


def _judgement(ruleset: Ruleset | None, view: NatView, recorded: frozenset[str]) -> Judgement:
    owned = owned_chains(view, recorded)
    return Judgement(
        owned=owned,
        differences=find_drift(ruleset, view.table) if ruleset else (),
        plan=plan_changes(ruleset, view.table, owned),
    )
