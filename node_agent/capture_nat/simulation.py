"""What a plan does to a table, without a kernel: for the fake backend and for proofs about plans.

It reads the transaction's text, as `iptables-restore --noflush` would, and knows the commands that
plans are made of.
"""

from collections.abc import Callable
from typing import Final

from capture_nat.errors import NatError
from capture_nat.planning import Plan
from capture_nat.rule_text import targets
from capture_nat.rulesets import BUILTIN_CHAINS
from capture_nat.tables import NatTable, TableChain


class TransactionError(NatError):
    """The kernel would refuse the transaction, and nothing of it would be done."""


def apply_plan(table: NatTable, plan: Plan) -> NatTable:
    """The table after the plan.

    Raises:
        TransactionError: the table is not the one that the plan was made for.
    """
    for name in plan.create:
        table = table.with_chain(name, _empty(name))
    for line in plan.restore_input.splitlines():
        if line not in {"*nat", "COMMIT"}:
            table = _apply_line(table, line)
    return table.without(name for name in plan.drop_if_empty if not table.rules(name))


def _apply_line(table: NatTable, line: str) -> NatTable:
    command, _, rest = line.partition(" ")
    if command.startswith(":"):
        return table.with_chain(command[1:], _empty(command[1:]))
    chain, _, rule = rest.partition(" ")
    if chain not in table.chains:
        if chain not in BUILTIN_CHAINS:
            raise TransactionError(f"no chain {chain}: {line}")
        table = table.with_chain(chain, _empty(chain))
    return _COMMANDS[command](table, chain, rule)


def _append(table: NatTable, chain: str, rule: str) -> NatTable:
    return _with_rules(table, chain, (*table.rules(chain), f"-A {chain} {rule}"))


def _insert(table: NatTable, chain: str, numbered_rule: str) -> NatTable:
    number, _, rule = numbered_rule.partition(" ")
    rules = list(table.rules(chain))
    rules.insert(int(number) - 1, f"-A {chain} {rule}")
    return _with_rules(table, chain, tuple(rules))


def _delete(table: NatTable, chain: str, rule: str) -> NatTable:
    rules = list(table.rules(chain))
    if (text := f"-A {chain} {rule}") not in rules:
        raise TransactionError(f"no such rule: {text}")
    rules.remove(text)
    return _with_rules(table, chain, tuple(rules))


def _flush(table: NatTable, chain: str, _: str) -> NatTable:
    return _with_rules(table, chain, ())


def _delete_chain(table: NatTable, chain: str, _: str) -> NatTable:
    if table.rules(chain):
        raise TransactionError(f"chain {chain} is not empty")
    everything = (rule for each in table.chains.values() for rule in each.rules)
    if any(target == chain for rule in everything for _, target in targets(rule)):
        raise TransactionError(f"a rule refers to chain {chain}")
    return table.without([chain])


def _with_rules(table: NatTable, chain: str, rules: tuple[str, ...]) -> NatTable:
    return table.with_chain(chain, TableChain(table.chains[chain].policy, rules))


def _empty(name: str) -> TableChain:
    return TableChain("ACCEPT" if name in BUILTIN_CHAINS else None)


_COMMANDS: Final[dict[str, Callable[[NatTable, str, str], NatTable]]] = {
    "-A": _append,
    "-I": _insert,
    "-D": _delete,
    "-F": _flush,
    "-X": _delete_chain,
}
