"""The commands in the documents that a reader may type."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "cluster" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)
PROGRAMS = ("ctr", "docker", "helm", "iptables", "kubectl", "make", "nft", "nsenter")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`]+)`")
_EXPLANATION = re.compile(r" {2,}\S.*")
"""In a block that lists commands, each with what it does."""


def blocks(document: Path, language: str = "sh") -> list[str]:
    """List the blocks of a language; those of the shell can be pasted as they are."""
    found = _FENCE.findall(document.read_text())
    return [text for kind, text in found if kind == language]


def commands(document: Path) -> Iterator[str]:
    """List the commands outside of the shell's blocks: in the text, and in plain blocks.

    A program with just the name of what it does, such as `helm uninstall`, is no command yet.
    """
    for block in blocks(document, ""):
        for line in block.replace("\\\n", " ").splitlines():
            words = _EXPLANATION.sub("", re.sub(r"(?<=\S) +(?=--)", " ", line)).removeprefix("$ ")
            if _is_command(words):
                yield words
    for inline in _INLINE.findall(_FENCE.sub("", document.read_text())):
        words = " ".join(inline.split())
        if _is_command(words):
            yield words


def _is_command(text: str) -> bool:
    program, *words = text.split() or [""]
    if not text.isascii() or program.rsplit("/", 1)[-1] not in PROGRAMS:
        return False
    return len(words) > 1 or (program == "make" and len(words) == 1)
