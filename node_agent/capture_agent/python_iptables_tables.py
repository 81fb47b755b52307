"""The legacy nat table of the network namespace of this process. For its child process alone."""

from typing import Final

import iptc
from iptc.ip4tc import IPTCError
from iptc.xtables import XTablesError

from capture_agent.python_iptables_rules import UnprintableError, built, check_name, printed
from capture_nat.rule_text import chain_of
from capture_nft.errors import UnreadableRuleError
from capture_nft.reading import rule_of

FAILURES: Final = (
    IPTCError,
    XTablesError,
    UnprintableError,
    UnreadableRuleError,
    OSError,
    ValueError,
)
"""What may go wrong; nothing was written then."""

_ONLY_NAT: Final = {"nat": True, "filter": False, "mangle": False, "raw": False, "security": False}


class LegacyTable:
    """The nat table of one family, "4" or "6".

    Raises:
        IPTCError: there is none.
    """

    def __init__(self, version: str) -> None:
        kind = iptc.Table if version == "4" else iptc.Table6
        # Or else the library would look for chains in all tables, and so create them.
        kind.existing_table_names.update(_ONLY_NAT)
        self._table = kind("nat", autocommit=False)
        self._version = version

    def saved(self) -> str:
        """The table as `iptables-save` prints it.

        Raises:
            UnprintableError: a rule can't be printed exactly.
        """
        chains = list(self._table.chains)
        for chain in chains:
            check_name(chain.name)
        declared = [f":{chain.name} {self._policy(chain.name)} [0:0]" for chain in chains]
        rules = [rule for chain in chains for rule in self._rules(chain.name)]
        return "\n".join(["*nat", *declared, *rules, "COMMIT", ""])

    def restore(self, text: str) -> None:
        """Do what an input of `iptables-restore --noflush` says, all of it or nothing.

        Raises:
            IPTCError: the kernel refused.
            UnreadableRuleError: a rule is none of ours.
        """
        for line in text.splitlines():
            if line not in {"*nat", "COMMIT"}:
                self._take(line)
        self._table.commit()

    def _take(self, line: str) -> None:
        command, chain = line.split(" ", 2)[:2]
        match command:
            case "-A":
                self._chain(chain).append_rule(built(rule_of(line), self._version))
            case "-I":
                text = line.replace(f"-I {chain} 1 ", f"-A {chain} ", 1)
                self._chain(chain).insert_rule(built(rule_of(text), self._version))
            case "-D":
                self._delete(line.replace("-D", "-A", 1))
            case "-F":
                self._table.flush_entries(chain)
            case "-X":
                self._table.delete_chain(chain)
            case _:
                self._declare(command.removeprefix(":"))

    def _declare(self, name: str) -> None:
        if self._table.is_chain(name):
            self._table.flush_entries(name)
        else:
            self._table.create_chain(name)

    def _delete(self, text: str) -> None:
        chain = self._chain(chain_of(text))
        rules = self._rules(chain.name)
        if text not in rules:
            raise IPTCError(f"no such rule: {text}")
        chain.delete_rule(chain.rules[rules.index(text)])

    def _rules(self, chain: str) -> list[str]:
        prefix = f"-A {chain}"
        texts = (printed(rule, self._version) for rule in self._chain(chain).rules)
        return [f"{prefix} {text}" if text else prefix for text in texts]

    def _chain(self, name: str) -> iptc.Chain:
        return iptc.Chain(self._table, name)

    def _policy(self, chain: str) -> str:
        policy, _ = self._table.get_policy(chain)
        return policy.name if policy else "-"
