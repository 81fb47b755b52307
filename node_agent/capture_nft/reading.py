"""The text of a rule of ours back to the rule: the closed grammar that `capture_nat` writes.

  -A CHAIN [! ][-s NET] [! ][-d NET] [! ][-i IF] [! ][-o IF] [-p tcp|udp]
           [-m tcp|udp --dport PORTS] [-m owner [--uid-owner IDS] [--gid-owner IDS]]
           -j RETURN | -j CHAIN | -j REDIRECT --to-ports PORT

A text is accepted only if the rule prints as exactly this text.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import ip_network
from typing import Final

from capture_nat.rule_text import chain_of, words
from capture_nft.errors import UnknownExpressionError, UnreadableRuleError
from capture_nft.headers import INTERFACE_NAME, TCP, UDP, Addresses, Interface, Protocol
from capture_nft.listing import text_of
from capture_nft.matches import Ports, Transport
from capture_nft.rules import Match, Rule, Target
from capture_nft.verdicts import Verdict, jump_to
from capture_nft.xt_nat import Nat, NatKind
from capture_nft.xt_owner import Ids, Owner

_MAX_PORT: Final = 0xFFFF
_MAX_ID: Final = 0xFFFFFFFF
_PROTOCOLS: Final = {"tcp": TCP, "udp": UDP}


def rule_of(text: str) -> Rule:
    """The rule that is printed so.

    Raises:
        UnreadableRuleError: it is not in the grammar above.
    """
    left = deque(words(text)[2:])
    rule = Rule()
    try:
        while left:
            rule = _take(rule, left)
        printed = text_of(rule, chain_of(text))
    except (KeyError, ValueError, IndexError, UnknownExpressionError) as error:
        raise UnreadableRuleError(f"not a rule of ours: {text}: {error}") from error
    if printed != text:
        raise UnreadableRuleError(f"not a rule of ours: {text}: printed as no rule is")
    return rule


def _take(rule: Rule, left: deque[str]) -> Rule:
    inverted = left[0] == "!"
    if inverted:
        left.popleft()
    option, value = left.popleft(), left.popleft()
    if option == "-j":
        return replace(rule, target=_target(value, left))
    if option == "-m":
        return replace(rule, matches=(*rule.matches, _MATCHES[value](value, left)))
    return _with_header(rule, option, value, inverted)


def _with_header(rule: Rule, option: str, value: str, inverted: bool) -> Rule:  # noqa: FBT001
    match option:
        case "-s":
            return replace(rule, source=Addresses(ip_network(value), inverted))
        case "-d":
            return replace(rule, destination=Addresses(ip_network(value), inverted))
        case "-i":
            return replace(rule, in_interface=Interface(_interface(value), inverted))
        case "-o":
            return replace(rule, out_interface=Interface(_interface(value), inverted))
        case "-p":
            return replace(rule, protocol=Protocol(_PROTOCOLS[value], inverted))
    raise ValueError(f"option {option}")


def _target(name: str, left: deque[str]) -> Target:
    if name in Verdict.__members__:
        return Verdict[name]
    if name != NatKind.REDIRECT:
        return jump_to(name)
    _expect("--to-ports", left)
    return Nat.redirect(*_range(left.popleft(), "-", _MAX_PORT))


def _transport(protocol: str, left: deque[str]) -> Match:
    _expect("--dport", left)
    return Transport(protocol, destination=Ports(*_range(left.popleft(), ":", _MAX_PORT)))


def _owner(_: str, left: deque[str]) -> Match:
    ids: dict[str, Ids] = {}
    while left and left[0] in _OWNERS:
        option = _OWNERS[left.popleft()]
        ids[option] = Ids(*_range(left.popleft(), "-", _MAX_ID))
    return Owner(**ids)


def _expect(option: str, left: deque[str]) -> None:
    if (found := left.popleft()) != option:
        raise ValueError(f"{found} where {option} should be")


def _range(value: str, separator: str, most: int) -> tuple[int, int]:
    first, _, last = value.partition(separator)
    ends = int(first), int(last or first)
    if not 0 <= ends[0] <= ends[1] <= most:
        raise ValueError(f"{value} is no range up to {most}")
    return ends


def _interface(name: str) -> str:
    if not INTERFACE_NAME.fullmatch(name):
        raise ValueError(f"{name} is no name of an interface")
    return name


_OWNERS: Final = {"--uid-owner": "uid", "--gid-owner": "gid"}
_MATCHES: Final[Mapping[str, Callable[[str, deque[str]], Match]]] = {
    "tcp": _transport,
    "udp": _transport,
    "owner": _owner,
}
