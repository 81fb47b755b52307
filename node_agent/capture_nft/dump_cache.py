"""What was concluded from dumps, found again by the dumps that say the same.

Pods with one program have equal dumps, apart from numbers that mean nothing: a hundred of them
share one entry. Bounded, since whoever is root in a pod decides how long its dumps are.
"""

from collections import OrderedDict
from typing import Final, Generic, TypeVar

from capture_nft.masks import Pattern

T = TypeVar("T")

MAX_BYTES: Final = 8 << 20
"""The most that the dumps of all entries may take together; their patterns take twice that."""


class DumpCache(Generic[T]):
    """Conclusions by dump; of too many, those go that were not asked for the longest."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        # By length. The newest is the last, among lengths and within one.
        self._entries: OrderedDict[int, list[tuple[Pattern, T]]] = OrderedDict()

    def find(self, dump: bytes) -> T | None:
        """What was concluded from a dump of the same content; None if nothing is remembered."""
        candidates = self._entries.get(len(dump))
        if not candidates:
            return None
        compared = int.from_bytes(dump, "little")
        for place in range(len(candidates) - 1, -1, -1):
            pattern, conclusion = candidates[place]
            if pattern.matches_number(compared):
                candidates.append(candidates.pop(place))
                self._entries.move_to_end(len(dump))
                return conclusion
        return None

    def remember(self, pattern: Pattern, conclusion: T) -> None:
        """Remember what was concluded from a dump, unless that is too large alone."""
        if pattern.length > self._max_bytes:
            return
        candidates = self._entries.get(pattern.length, [])
        others = [each for each in candidates if each[0] != pattern]
        self._bytes += pattern.length * (1 + len(others) - len(candidates))
        self._entries[pattern.length] = [*others, (pattern, conclusion)]
        self._entries.move_to_end(pattern.length)
        while self._bytes > self._max_bytes:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        length, candidates = next(iter(self._entries.items()))
        candidates.pop(0)
        self._bytes -= length
        if not candidates:
            del self._entries[length]
