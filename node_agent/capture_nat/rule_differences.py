"""How the rules of one chain differ from what they should be, in time linear in their number."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto


class Change(Enum):
    """What happened to a rule."""

    MISSING = auto()
    CHANGED = auto()
    INSERTED = auto()
    DUPLICATED = auto()
    REORDERED = auto()


@dataclass(frozen=True, slots=True)
class RuleDifference:
    """One change, with the rule that should be there and the one that is ("" for none)."""

    change: Change
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class _Unmatched:
    """A rule that the other side lacks, and how many matched rules come before it."""

    gap: int
    rule: str


def rule_differences(desired: Sequence[str], found: Sequence[str]) -> Iterator[RuleDifference]:
    """Every way in which `found` differs from `desired`; none if and only if they are equal.

    A foreign rule in the place of a missing one is a changed rule; a rule of ours that is there
    more often than it should be is a duplicated one. Order is judged on the rules both have.
    """
    missing, kept = _split(desired, found)
    extra, kept_found = _split(found, desired)
    known = frozenset(desired)
    yield from _replacements(missing, [each for each in extra if each.rule not in known])
    for each in extra:
        if each.rule in known:
            yield RuleDifference(Change.DUPLICATED, each.rule, each.rule)
    for expected, actual in zip(kept, kept_found, strict=True):
        if expected != actual:
            yield RuleDifference(Change.REORDERED, expected, actual)
            return


def _split(rules: Sequence[str], other: Iterable[str]) -> tuple[list[_Unmatched], list[str]]:
    available = Counter(other)
    unmatched: list[_Unmatched] = []
    matched: list[str] = []
    for rule in rules:
        if available[rule] > 0:
            available[rule] -= 1
            matched.append(rule)
        else:
            unmatched.append(_Unmatched(len(matched), rule))
    return unmatched, matched


def _replacements(
    missing: Iterable[_Unmatched], strangers: Iterable[_Unmatched]
) -> Iterator[RuleDifference]:
    by_gap: defaultdict[int, deque[str]] = defaultdict(deque)
    for stranger in strangers:
        by_gap[stranger.gap].append(stranger.rule)
    for each in missing:
        if by_gap[each.gap]:
            yield RuleDifference(Change.CHANGED, each.rule, by_gap[each.gap].popleft())
        else:
            yield RuleDifference(Change.MISSING, each.rule, "")
    for rules in by_gap.values():
        yield from (RuleDifference(Change.INSERTED, "", rule) for rule in rules)
