"""Recognising a dump that says the same as an earlier one, without reading it.

Two dumps of equal rulesets differ in what names the request (sequence number and port), in the
generation, in handles, in reference counts and in counters. All of these have fixed sizes and their
places follow from the rest. So the places are found once, in a dump that was read, and from then on
one comparison of large integers does. It never takes different rulesets for equal: what is left out
of the comparison is found by following the very lengths and types that are compared.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self

from capture_nft.attributes import spans
from capture_nft.counters import counter_values
from capture_nft.dumps import messages_of
from capture_nft.uapi import (
    NF_HEADER,
    RESOURCE,
    ChainAttribute,
    MessageType,
    RuleAttribute,
    TableAttribute,
)

_SEQUENCE_AND_PORT: Final = (8, 16)
_VARYING: Final[Mapping[int, frozenset[int]]] = {
    MessageType.NEWTABLE: frozenset({TableAttribute.USE, TableAttribute.HANDLE}),
    MessageType.NEWCHAIN: frozenset(
        {ChainAttribute.HANDLE, ChainAttribute.USE, ChainAttribute.COUNTERS}
    ),
    MessageType.NEWRULE: frozenset({RuleAttribute.HANDLE, RuleAttribute.POSITION}),
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a dump has in common with every dump of the same content."""

    length: int
    mask: int
    value: int

    @classmethod
    def of(cls, dump: bytes) -> Self:
        """The pattern that this dump, and all with the same content, match.

        Raises:
            NftError: see `capture_nft.snapshots.decode`.
        """
        mask = bytearray(b"\xff") * len(dump)
        for start, end in _varying(dump):
            mask[start:end] = bytes(end - start)
        compared = int.from_bytes(mask, "little")
        return cls(len(dump), compared, int.from_bytes(dump, "little") & compared)

    def matches(self, dump: bytes) -> bool:
        """Whether the dump says the same as the one that the pattern was made of."""
        return len(dump) == self.length and self.matches_number(int.from_bytes(dump, "little"))

    def matches_number(self, dump: int) -> bool:
        """The same for a dump of equal length that is a little-endian number already."""
        return dump & self.mask == self.value


def _varying(dump: bytes) -> Iterator[tuple[int, int]]:
    for kind, start, end in messages_of(dump):
        for first, last in (_SEQUENCE_AND_PORT, (RESOURCE.start, RESOURCE.stop)):
            yield start + first, start + last
        left_out = _VARYING.get(kind, frozenset())
        for attribute, first, last in spans(dump, start + NF_HEADER, end):
            if attribute in left_out:
                yield first, last
            elif kind == MessageType.NEWRULE and attribute == RuleAttribute.EXPRESSIONS:
                yield from counter_values(dump, first, last)
