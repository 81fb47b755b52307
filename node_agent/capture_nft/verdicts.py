"""The targets that decide where a packet goes on, without changing it."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from capture_nft.errors import UnknownExpressionError
from capture_nft.expressions import ACCEPT, DROP, GOTO, JUMP, RETURN, Expression, Immediate


class Verdict(Enum):
    """`-j ACCEPT`, `-j DROP` or `-j RETURN`; the value is the kernel's."""

    ACCEPT = ACCEPT
    DROP = DROP
    RETURN = RETURN

    def expression(self) -> Expression:
        """What the kernel is told."""
        return Immediate(self.value)

    def words(self) -> str:
        """As `iptables-save` prints it."""
        return f"-j {self.name}"


@dataclass(frozen=True, slots=True)
class Jump:
    """`-j CHAIN`: comes back to the next rule if that chain does not decide."""

    chain: str

    def expression(self) -> Expression:
        """What the kernel is told."""
        return Immediate(JUMP, self.chain)

    def words(self) -> str:
        """As `iptables-save` prints it."""
        return f"-j {self.chain}"


@dataclass(frozen=True, slots=True)
class Goto:
    """`-g CHAIN`: comes back to where this chain was jumped to from."""

    chain: str

    def expression(self) -> Expression:
        """What the kernel is told."""
        return Immediate(GOTO, self.chain)

    def words(self) -> str:
        """As `iptables-save` prints it."""
        return f"-g {self.chain}"


_VERDICTS: Final = {verdict.value: verdict for verdict in Verdict}
_CHAIN: Final = re.compile(r"[!-~]+")
_RESERVED: Final = frozenset(
    {"QUEUE", "REDIRECT", "MASQUERADE", "DNAT", "SNAT", *Verdict.__members__}
)
"""Names that mean a target in a text, whatever chain has them."""


def verdict_of(immediate: Immediate) -> Verdict | Jump | Goto:
    """Read what the kernel holds.

    Raises:
        UnknownExpressionError: no target of iptables does that, or its text would be another's.
    """
    if immediate.code in _VERDICTS:
        return _VERDICTS[immediate.code]
    if immediate.code == JUMP:
        return jump_to(immediate.chain)
    if immediate.code == GOTO:
        return Goto(_unambiguous(immediate.chain))
    raise UnknownExpressionError(f"a verdict {immediate.code} that iptables does not have")


def jump_to(chain: str) -> Jump:
    """A jump to a chain of a name that can mean nothing else.

    Raises:
        UnknownExpressionError: it could, as in `-j RETURN`.
    """
    return Jump(_unambiguous(chain))


def _unambiguous(chain: str) -> str:
    if not _CHAIN.fullmatch(chain) or chain in _RESERVED:
        raise UnknownExpressionError(f"a chain of an ambiguous name: {chain!r}")
    return chain
