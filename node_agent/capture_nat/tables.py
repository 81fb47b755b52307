"""What a nat table holds, read from `iptables-save -t nat`.

The text is not trusted: a rule may carry a comment with quotes, backslashes and newlines, which
`iptables-save` prints raw inside double quotes. So a newline ends a rule only outside of quotes.
Limit: some matches print names without any quotes (`-m recent --name`, interfaces), so a process
with NET_ADMIN in the pod can make `iptables-save` print lines that no rule stands behind. It could
as well take the traffic ahead of our hook; only reading the kernel's own records sees through it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from capture_nat.errors import NatError
from capture_nat.rule_text import readable
from capture_nat.rulesets import BUILTIN_CHAINS

# A quote opens a string only at the beginning of a word; one that never closes is an ordinary
# character.
_RECORD: Final = re.compile(r'((?>(?: "(?>(?:[^"\\]|\\.)*)"|[^\n])*))(?:\n|\Z)', re.DOTALL)
_CHAIN: Final = re.compile(r":(\S+) (\S+) \[\d+:\d+\]", re.ASCII)
_RULE: Final = re.compile(r"(?:\[\d+:\d+\] )?(-A (\S+)(?: .*)?)", re.ASCII | re.DOTALL)


class UnreadableTableError(NatError):
    """The output does not say what the table holds, so nothing may be concluded from it."""


@dataclass(frozen=True, slots=True)
class TableChain:
    """A chain: its policy (None unless it is a base chain) and its rules as `-A NAME ...`."""

    policy: str | None
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NatTable:
    """The chains of a nat table by name; a table that does not exist has none."""

    chains: Mapping[str, TableChain] = field(default_factory=dict)
    is_dormant: bool = False
    """Whether somebody switched the table off (nf_tables' `flags dormant`): no rule of it acts."""

    def rules(self, chain: str) -> tuple[str, ...]:
        """The rules of a chain; none if there is no such chain."""
        found = self.chains.get(chain)
        return found.rules if found else ()

    def with_chain(self, name: str, chain: TableChain) -> "NatTable":
        """The table with one chain put in or replaced."""
        return replace(self, chains={**self.chains, name: chain})

    def without(self, names: Iterable[str]) -> "NatTable":
        """The table without these chains.

        `iptables-nft-save` prints every built-in chain, there or not; a backend that knows which
        are not there takes them out, so that they are created and marked as ours.
        """
        left_out = frozenset(names)
        chains = {name: chain for name, chain in self.chains.items() if name not in left_out}
        return replace(self, chains=chains)


def parse_table(save_output: str) -> NatTable:
    """Read the output of `iptables-save -t nat`, with or without `-c`; empty output has no chains.

    Raises:
        UnreadableTableError: iptables could not read the table (and may have exited with 0), or
            the output is not complete.
    """
    records = [record for record in _records(save_output) if record]
    _refuse_incompatible(records)
    content = [record for record in records if not record.startswith("#")]
    if not content:
        return NatTable()
    if content[0] != "*nat":
        raise UnreadableTableError(f"expected the nat table, found: {readable(content[0])}")
    if content[-1] != "COMMIT":
        raise UnreadableTableError("the listing of the nat table ends before its COMMIT")
    return _table(content[1:-1])


def _records(save_output: str) -> Iterator[str]:
    return (match[1] for match in _RECORD.finditer(save_output))


def _refuse_incompatible(records: Iterable[str]) -> None:
    for record in records:
        if record.startswith("# Table ") and "is incompatible" in record:
            raise UnreadableTableError(
                "the nat table holds rules that iptables can't print "
                f"({readable(record.removeprefix('# '))}): remove the rules added with nft"
            )


def _table(content: Iterable[str]) -> NatTable:
    policies: dict[str, str | None] = {}
    rules: dict[str, list[str]] = {}
    for record in content:
        if chain := _CHAIN.fullmatch(record):
            if chain[1] in policies:
                raise UnreadableTableError(f"chain {readable(chain[1])} is listed twice")
            policies[chain[1]] = chain[2] if chain[1] in BUILTIN_CHAINS else None
            rules[chain[1]] = []
        elif (rule := _RULE.fullmatch(record)) and rule[2] in rules:
            rules[rule[2]].append(rule[1])
        else:
            raise UnreadableTableError(f"not a chain or a rule of a chain: {readable(record)}")
    return NatTable({name: TableChain(policies[name], tuple(rules[name])) for name in policies})
