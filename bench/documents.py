"""The table and the plot in `docs/benchmarks.md`, written between two marks; the rest is prose."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from figures import Record

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "benchmarks.md"

_BEGIN: Final = "<!-- written by make bench -->"
_END: Final = "<!-- until here -->"
_COLUMNS: Final = ("figure", "ours", "reference", "ratio", "goal", "met")
_BAR: Final = 12
"""Characters for a factor of ten."""


def line(record: Record) -> str:
    """Say a figure in one line."""
    goal = f"; goal {record['goal']}: {_met(record)}" if record["goal"] else ""
    details = ", ".join(f"{name} {_value(value)}" for name, value in record["details"].items())
    return (
        f"{record['name']}: {_of(record, 'ours')}; {record['compared_with'] or 'no reference'}: "
        f"{_of(record, 'reference')}; ratio {_ratio(record)}{goal}"
        + (f" ({details})" if details else "")
    )


def write(records: Iterable[Record]) -> None:
    """Put the figures into the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    body = "\n".join(_body(list(records)))
    DOCUMENT.write_text(f"{before}{_BEGIN}\n{body}\n{_END}{after}", encoding="utf-8")


def _body(records: list[Record]) -> Iterator[str]:
    yield f"| {' | '.join(_COLUMNS)} |"
    yield f"|{'---|' * len(_COLUMNS)}"
    for record in records:
        cells = (
            f"`{record['name']}`: {record['what']}",
            _of(record, "ours"),
            f"{_of(record, 'reference')} ({record['compared_with']})"
            if record["compared_with"]
            else "-",
            _ratio(record),
            record["goal"] or "-",
            _met(record),
        )
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield "How often we fit into the reference (each `#` is a part of a factor of ten):"
    yield ""
    yield "```"
    yield from (_bar(record) for record in records if record["ratio"])
    yield "```"
    yield ""
    yield "Beside the medians, in the unit of the figure:"
    yield ""
    for record in records:
        if record["details"]:
            found = ", ".join(f"{name} {_value(each)}" for name, each in record["details"].items())
            yield f"* `{record['name']}`: {found}"


def _bar(record: Record) -> str:
    length = max(1, round(_BAR * math.log10(max(record["ratio"], 1))))
    return f"{record['name']:<26}{'#' * length} {_ratio(record)}"


def _of(record: Record, whose: str) -> str:
    value = record[whose]
    return "-" if value is None else f"{_value(value)} {record['unit']}"


def _ratio(record: Record) -> str:
    return f"{_value(record['ratio'])}x" if record["ratio"] else "-"


def _met(record: Record) -> str:
    return {True: "yes", False: "**no**", None: "-"}[record["met"]]


def _value(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - digits
