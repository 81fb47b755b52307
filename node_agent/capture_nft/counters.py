"""Where a rule counts packets and bytes: the only part of its expressions that traffic changes."""

from capture_nft.attributes import spans
from capture_nft.uapi import EXPRESSION_DATA


def counter_values(buffer: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """Where the values of counters are, as pairs of offsets, in a list of expressions.

    Raises:
        MalformedDumpError: there is no such list between `start` and `end`.
    """
    return [
        (first, last)
        for _, element, after in spans(buffer, start, end)
        if buffer[element + 4 : element + 12] == b"counter\0"
        for kind, data, data_end in spans(buffer, element, after)
        if kind == EXPRESSION_DATA
        for _, first, last in spans(buffer, data, data_end)
    ]


def without_counts(expressions: bytes) -> bytes:
    """The list with zeroes for the values of its counters.

    Raises:
        MalformedDumpError: the bytes are no such list.
    """
    for first, last in counter_values(expressions, 0, len(expressions)):
        expressions = expressions[:first] + bytes(last - first) + expressions[last:]
    return expressions
