"""What a look at a pod's table comes to: what is different there, and what would mend it. Pure."""

from collections.abc import Mapping

import msgspec

from capture_agent.failures import Failure
from capture_agent.judgements import Judgements
from capture_agent.nat_backends import BackendError, NatView
from capture_nat.drift import Difference
from capture_nat.families import Family
from capture_nat.planning import Plan
from capture_nat.rulesets import Ruleset


class Wanted(msgspec.Struct, frozen=True):
    """What a table is to hold: a rule set, or None for nothing of ours.

    `was_complete` says that it was read back holding just that before.
    """

    ruleset: Ruleset | None = None
    was_complete: bool = False


class Look(msgspec.Struct, frozen=True):
    """What the kernel holds, and which chains of it are ours."""

    view: NatView
    owned: frozenset[str]

    @property
    def left(self) -> frozenset[str]:
        """Our chains that are there, base chains aside: those stay for whoever uses them."""
        return frozenset(name for name in self.owned if self.view.table.chains[name].policy is None)


class Assessment(msgspec.Struct, frozen=True):
    """What is different from what the table is to hold, and what writing would mend it."""

    look: Look
    differences: tuple[Difference, ...]
    plan: Plan
    is_drift: bool
    """Whether it was otherwise before: what is different was changed by somebody."""

    @property
    def claims(self) -> frozenset[str]:
        """The chains that are ours once the plan is written."""
        return self.look.owned.union(self.plan.create, self.plan.adopted)


Assessed = Mapping[Family, Assessment | Failure]
"""What is so in each table, or why that can't be said or done."""


def assessment_of(
    wanted: Wanted, view: NatView, recorded: frozenset[str], judgements: Judgements
) -> Assessment:
    """Hold what was seen against what the table is to hold.

    `recorded` are the chains that the journal says are ours.

    Raises:
        ChainConflictError: a chain with a name of ours is not ours and not as planned.
        BackendError: rules of ours would not decide about the packets that they are for.
    """
    if view.conflict and wanted.ruleset is not None:
        raise BackendError("BackendConflict", view.conflict)
    judged = judgements.judge(wanted.ruleset, view, recorded)
    return Assessment(
        look=Look(view, judged.owned),
        differences=judged.differences,
        plan=judged.plan,
        is_drift=bool(judged.differences) and wanted.was_complete,
    )


def planned(assessed: Assessed) -> dict[Family, Assessment]:
    """Choose the tables that there is something to write to."""
    return {
        family: found
        for family, found in assessed.items()
        if isinstance(found, Assessment) and not found.plan.is_empty
    }
