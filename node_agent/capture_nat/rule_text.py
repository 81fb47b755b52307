"""Reading the text of a rule that may be anybody's."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

MAX_READABLE: Final = 256
"""Longest text of a rule, in characters, that goes into a status."""
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_ELLIPSIS: Final = "\N{HORIZONTAL ELLIPSIS}"

_QUOTED: Final = r'"(?>(?:[^"\\]|\\.)*)"'
_WORD: Final = re.compile(rf"(?<!\S)(?:{_QUOTED}|\S+)", re.DOTALL)


def words(rule: str) -> list[str]:
    """Split a rule into its words; a quoted string is one word and keeps its quotes."""
    return _WORD.findall(rule)


def chain_of(rule: str) -> str:
    """Name the chain that a rule `-A CHAIN ...` is in."""
    return rule.split(" ", 2)[1]


def targets(rule: str) -> Iterator[tuple[str, str]]:
    """Every pair of `-j` or `-g` and the word after it.

    An honest rule has at most one. A word such as a comment `-j` is printed without quotes, so
    there may be more, and nothing here says which one the kernel follows.
    """
    for flag, target in pairwise(words(rule)):
        if flag in {"-j", "-g"}:
            yield flag, target


def readable(text: str) -> str:
    """The text for a person: at most 256 characters, and none that would move a cursor."""
    head = text[: MAX_READABLE + 1]
    if not head.isprintable():
        head = "".join(char if char.isprintable() else _REPLACEMENT for char in head)
    return head if len(head) <= MAX_READABLE else head[: MAX_READABLE - 1] + _ELLIPSIS
