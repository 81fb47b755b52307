"""A measured figure beside its reference, and the file that keeps them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).parent / "results.json"

Record = dict[str, Any]
"""A figure as `results.json` has it."""


@dataclass(frozen=True, slots=True)
class AtMost:
    """A goal for what we take, in the figure's unit."""

    bound: float

    def is_met(self, ours: float, _ratio: float | None) -> bool:
        """Whether we take no more."""
        return ours <= self.bound

    def text(self, unit: str) -> str:
        """Say it."""
        return f"≤ {self.bound:g} {unit}"


@dataclass(frozen=True, slots=True)
class AtLeastTimes:
    """A goal for how often what we take fits into what the reference takes."""

    bound: float

    def is_met(self, _ours: float, ratio: float | None) -> bool:
        """Whether it fits as often or oftener."""
        return ratio is not None and ratio >= self.bound

    def text(self, _unit: str) -> str:
        """Say it."""
        return f"≥ {self.bound:g} times less"


@dataclass(frozen=True, slots=True)
class Figure:
    """What we take and what the reference takes, measured in one run on one machine.

    `details` are further values in the same unit, or with theirs in the name: percentiles, CPU
    time. `reference` is None where there is nothing to compare with.
    """

    name: str
    what: str
    ours: float
    reference: float | None
    compared_with: str
    unit: str
    goal: AtMost | AtLeastTimes | None = None
    details: Mapping[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How often what we take fits into what the reference takes; None if it can't be said."""
        return self.reference / self.ours if self.reference is not None and self.ours else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        return None if self.goal is None else self.goal.is_met(self.ours, self.ratio)

    def record(self) -> Record:
        """Give it as it is kept."""
        goal = None if self.goal is None else self.goal.text(self.unit)
        return {**asdict(self), "ratio": self.ratio, "goal": goal, "met": self.met}


def keep(figures: Iterable[Figure]) -> list[Record]:
    """Keep what was measured now; what was not stays as it was measured last. All, by name."""
    records = {record["name"]: record for record in read()}
    records |= {figure.name: figure.record() for figure in figures}
    kept = sorted(records.values(), key=lambda record: record["name"])
    RESULTS.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return kept


def read() -> list[Record]:
    """Read what was kept; nothing at first."""
    if not RESULTS.exists():
        return []
    return [each for each in json.loads(RESULTS.read_text(encoding="utf-8")) if "what" in each]
