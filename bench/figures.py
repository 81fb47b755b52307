"""A measured figure beside its reference, and the file that keeps them."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True, slots=True)
class Figure:
    """What we take and what the reference takes, measured in one run on one machine.

    `goal` is in `unit` for ours where the design sets one; `ratio` is ours over the reference.
    """

    name: str
    ours: float
    reference: float
    unit: str
    goal: float | None = None

    @property
    def ratio(self) -> float:
        """How often the reference fits into ours."""
        return self.ours / self.reference

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        return None if self.goal is None else self.ours <= self.goal

    def __str__(self) -> str:
        met = "met" if self.met else "not met"
        goal = "" if self.goal is None else f"; goal {self.goal} {self.unit}: {met}"
        return (
            f"{self.name}: {self.ours:.3g} {self.unit}, "
            f"reference {self.reference:.3g} {self.unit}, "
            f"ratio {self.ratio:.2f}{goal}"
        )


def write(figures: list[Figure]) -> None:
    """Keep the figures of a run."""
    records = [{**asdict(figure), "ratio": figure.ratio, "met": figure.met} for figure in figures]
    RESULTS.write_text(json.dumps(records, indent=2) + "\n")
