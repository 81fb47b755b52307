"""Which of a pod's two nat tables, nf_tables or legacy, has its hooks from later: its rules win.

The kernel does not tell the order in which hooks of one priority were registered. Whoever has seen
one table alone knows that the other came later.
"""

from dataclasses import dataclass, field
from typing import Final

from capture_nat.families import Family

NF_TABLES: Final = "nf_tables"
LEGACY: Final = "legacy"


@dataclass(slots=True)
class HookOrder:
    """What was seen in one sandbox."""

    _alone: dict[Family, str] = field(default_factory=dict)

    def saw(self, family: Family, *, nf_tables: bool, legacy: bool) -> None:
        """Take note of which tables of a family have hooks."""
        if nf_tables and legacy:
            return
        self._alone[family] = NF_TABLES if nf_tables else LEGACY if legacy else ""

    def later(self, family: Family) -> str:
        """Name the table that came later, now that there are both; "" if it is not known."""
        return {NF_TABLES: LEGACY, LEGACY: NF_TABLES}.get(self._alone.get(family, ""), "")
