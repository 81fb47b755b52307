"""Plans for the nat tables of a namespace as the messages of one transaction."""

from collections.abc import Iterator, Mapping

from capture_nat.commands import (
    Command,
    DeleteChain,
    DeleteRule,
    Flush,
    InsertFirst,
    Refill,
    WakeTable,
)
from capture_nat.families import Family
from capture_nat.planning import Plan
from capture_nat.rule_text import chain_of
from capture_nat.rulesets import Chain
from capture_nft.messages import (
    HOOKS,
    add_table,
    append_rule,
    create_chain,
    delete_chain,
    delete_rule,
    flush_chain,
    insert_rule,
    wake_table,
)
from capture_nft.reading import rule_of
from capture_nft.transactions import Blob

Handles = Mapping[str, tuple[int, ...]]
"""The handles of a table's rules by their text, in the kernel's order."""


def deleted_from(plan: Plan) -> frozenset[str]:
    """Name the chains that a plan deletes single rules from, which takes those rules' handles."""
    deleted = (each.rule for each in plan.commands if isinstance(each, DeleteRule))
    return frozenset(map(chain_of, deleted))


def messages_of(plan: Plan, family: Family, mark: str, handles: Handles) -> tuple[bytes, ...]:
    """Say a plan to the kernel; empty where it only adopts.

    Args:
        plan: made from the table that `handles` are of.
        family: whose table it is.
        mark: the comment on chains that the plan creates.
        handles: of every rule that the plan deletes.

    Raises:
        KeyError: a rule that the plan deletes has no handle.
        UnreadableRuleError: a rule that the plan writes is none of ours.
    """
    return tuple(_Translation(family, mark, handles).messages(plan))


def transaction_of(
    plans: Mapping[Family, Plan], mark: str, handles: Mapping[Family, Handles]
) -> Blob | None:
    """Say plans for the tables of a namespace as one transaction; None where they only adopt.

    `handles` may leave out families whose plans need none; see `messages_of` for the rest.
    """
    messages = [
        message
        for family, plan in plans.items()
        for message in messages_of(plan, family, mark, handles.get(family, {}))
    ]
    return Blob.of(messages) if messages else None


class _Translation:
    def __init__(self, family: Family, mark: str, handles: Handles) -> None:
        self._family = family
        self._mark = mark
        self._handles = {text: iter(found) for text, found in handles.items()}

    def messages(self, plan: Plan) -> Iterator[bytes]:
        if plan.create:
            yield add_table(self._family)
        for name in plan.create:
            yield create_chain(self._family, name, comment=self._mark, hook=HOOKS.get(name))
        # Every chain is emptied before one is filled: nothing refers to what goes any more.
        for chain in _refilled(plan):
            if chain.name not in plan.create:
                yield flush_chain(self._family, chain.name)
        for command in plan.commands:
            yield from self._command(command)
        for name in plan.drop_if_empty:
            yield delete_chain(self._family, name)

    def _command(self, command: Command) -> Iterator[bytes]:
        match command:
            case Refill(chain):
                for text in chain.rules:
                    yield append_rule(self._family, chain.name, rule_of(text))
            case InsertFirst(text):
                yield insert_rule(self._family, chain_of(text), rule_of(text))
            case DeleteRule(text):
                yield delete_rule(self._family, chain_of(text), self._handle(text))
            case Flush(name):
                yield flush_chain(self._family, name)
            case DeleteChain(name):
                yield delete_chain(self._family, name)
            case WakeTable():
                yield wake_table(self._family)

    def _handle(self, text: str) -> int:
        handle = next(self._handles[text], None)
        if handle is None:
            raise KeyError(text)
        return handle


def _refilled(plan: Plan) -> Iterator[Chain]:
    return (command.chain for command in plan.commands if isinstance(command, Refill))
