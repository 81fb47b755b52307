"""What a command of iptables does to a table in memory: the other processes of a fake pod."""

from dataclasses import replace

from capture_nat.rule_text import targets
from capture_nat.rulesets import BUILTIN_CHAINS
from capture_nat.tables import NatTable, TableChain


def told(table: NatTable, command: str) -> NatTable:
    """Change a table as `iptables -t nat COMMAND` does; texts of rules are as they print."""
    match command.split(" "):
        case ["-F", *chains]:
            for name in chains or table.chains:
                table = _with_rules(table, name, ())
            return table
        case ["-X"]:
            return table.without(table.chains.keys() - BUILTIN_CHAINS)
        case ["-X", chain]:
            assert not table.rules(chain)
            return table.without([chain])
        case ["-N", chain]:
            return table.with_chain(chain, TableChain(None))
        case ["-E", chain, name]:
            return _renamed(table, chain, name)
        case [option, chain, *rest]:
            return _with_rules(table, chain, _told(option, chain, table.rules(chain), rest))
    raise AssertionError(command)


def _told(option: str, chain: str, rules: tuple[str, ...], rest: list[str]) -> tuple[str, ...]:
    place = int(rest.pop(0)) - 1 if rest[0].isdigit() else None
    rule = " ".join(["-A", chain, *rest])
    match option:
        case "-A":
            return (*rules, rule)
        case "-D":
            index = rules.index(rule) if place is None else place
            return rules[:index] + rules[index + 1 :]
        case "-I" if place is not None:
            return (*rules[:place], rule, *rules[place:])
        case "-R" if place is not None:
            return (*rules[:place], rule, *rules[place + 1 :])
    raise AssertionError(option)


def _with_rules(table: NatTable, chain: str, rules: tuple[str, ...]) -> NatTable:
    return table.with_chain(chain, replace(table.chains[chain], rules=rules))


def _renamed(table: NatTable, chain: str, name: str) -> NatTable:
    """Rename a chain; the kernel's rules follow it, they don't refer to it by name."""
    chains = {name if old == chain else old: each for old, each in table.chains.items()}
    for each, held in chains.items():
        rules = (_led_to(rule, chain, name) for rule in held.rules)
        chains[each] = replace(held, rules=tuple(rules))
    return replace(table, chains=chains)


def _led_to(rule: str, chain: str, name: str) -> str:
    rule = rule.replace(f"-A {chain} ", f"-A {name} ")
    refers = any(target == chain for _, target in targets(rule))
    return rule.replace(f" {chain}", f" {name}") if refers else rule
