"""What a plan does to a table, without a kernel: for the fake backend, and for proofs."""

from dataclasses import replace

from capture_nat.commands import (
    Command,
    DeleteChain,
    DeleteRule,
    Flush,
    InsertFirst,
    Refill,
    WakeTable,
)
from capture_nat.errors import NatError
from capture_nat.planning import Plan
from capture_nat.rule_text import chain_of, targets
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
    for command in plan.commands:
        table = _apply(table, command)
    return table.without(name for name in plan.drop_if_empty if not table.rules(name))


def _apply(table: NatTable, command: Command) -> NatTable:
    match command:
        case Refill(chain):
            return table.with_chain(chain.name, TableChain(None, chain.rules))
        case Flush(chain):
            return _with_rules(table, _existing(table, chain), ())
        case DeleteChain(chain):
            return _without_chain(table, _existing(table, chain))
        case InsertFirst(rule):
            chain = chain_of(rule)
            if chain in BUILTIN_CHAINS and chain not in table.chains:
                table = table.with_chain(chain, _empty(chain))
            return _with_rules(table, _existing(table, chain), (rule, *table.rules(chain)))
        case DeleteRule(rule):
            return _without_rule(table, rule)
        case WakeTable():
            return replace(table, is_dormant=False)


def _existing(table: NatTable, chain: str) -> str:
    if chain not in table.chains:
        raise TransactionError(f"no chain {chain}")
    return chain


def _without_rule(table: NatTable, rule: str) -> NatTable:
    rules = list(table.rules(chain_of(rule)))
    if rule not in rules:
        raise TransactionError(f"no such rule: {rule}")
    rules.remove(rule)
    return _with_rules(table, chain_of(rule), tuple(rules))


def _without_chain(table: NatTable, chain: str) -> NatTable:
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
