"""The expressions that iptables-nft makes rules of.

Each loads a value into register 1, or judges what is there, or decides. Everything else that
nf_tables has (sets, `ct`, `fib`, native `redir`) iptables can't list, and it is unknown here.
"""

from dataclasses import dataclass
from typing import Final

META_MARK: Final = 3
META_IIFNAME: Final = 6
META_OIFNAME: Final = 7
META_L4PROTO: Final = 16
NETWORK_HEADER: Final = 1
TRANSPORT_HEADER: Final = 2

ACCEPT: Final = 1
DROP: Final = 0
JUMP: Final = -3
GOTO: Final = -4
RETURN: Final = -5


@dataclass(frozen=True, slots=True)
class Meta:
    """Loads something known about the packet, `META_...`."""

    key: int


@dataclass(frozen=True, slots=True)
class Payload:
    """Loads bytes of the packet, from `NETWORK_HEADER` or `TRANSPORT_HEADER` on."""

    base: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Bitwise:
    """Clears the bits that the mask does not have."""

    mask: bytes


@dataclass(frozen=True, slots=True)
class Cmp:
    """Goes on if what was loaded is (inverted: is not) these bytes."""

    data: bytes
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class Range:
    """Goes on if what was loaded lies (inverted: does not lie) in a range, ends included."""

    first: bytes
    last: bytes
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts what gets here; its values are no part of a rule."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Goes on so many times in a while; how many is not read."""


@dataclass(frozen=True, slots=True)
class Immediate:
    """Decides: a verdict, with a chain for `JUMP` and `GOTO`."""

    code: int
    chain: str = ""


@dataclass(frozen=True, slots=True)
class XtMatch:
    """A match of x_tables, as the extension of this name and revision lays it out."""

    name: str
    revision: int
    info: bytes


@dataclass(frozen=True, slots=True)
class XtTarget:
    """A target of x_tables, as the extension of this name and revision lays it out."""

    name: str
    revision: int
    info: bytes


Expression = (
    Meta | Payload | Bitwise | Cmp | Range | Counter | Immediate | XtMatch | XtTarget
)  # fmt: skip
Held = Expression | Limit
"""What rules hold that are read; a limit is never written."""
