"""Matches of iptables that are expressions of nf_tables: ports and the packet's mark."""

import struct
from dataclasses import dataclass
from typing import Final

from capture_nft.expressions import (
    META_MARK,
    TRANSPORT_HEADER,
    Bitwise,
    Cmp,
    Expression,
    Meta,
    Payload,
    Range,
)

SOURCE_PORT_OFFSET: Final = 0
DESTINATION_PORT_OFFSET: Final = 2
PORT_SIZE: Final = 2
ANY_PORT: Final = (0, 0xFFFF)
ALL_BITS: Final = 0xFFFFFFFF
_NATIVE: Final = struct.Struct("=I")


@dataclass(frozen=True, slots=True)
class Ports:
    """A port lies (inverted: does not lie) in a range, ends included."""

    first: int
    last: int
    inverted: bool = False

    def expressions(self, offset: int) -> tuple[Expression, ...]:
        """Load the port at an offset of the transport header and compare it."""
        load = Payload(TRANSPORT_HEADER, offset, PORT_SIZE)
        first, last = (port.to_bytes(PORT_SIZE, "big") for port in (self.first, self.last))
        if first == last:
            return load, Cmp(first, self.inverted)
        return load, Range(first, last, self.inverted)

    def words(self, option: str) -> str:
        """As `iptables-save` prints it, with `--sport` or `--dport`."""
        ports = str(self.first) if self.first == self.last else f"{self.first}:{self.last}"
        return f"{'! ' if self.inverted else ''}{option} {ports}"


@dataclass(frozen=True, slots=True)
class Transport:
    """`-m tcp` or `-m udp`, by the rule's protocol, with the ports that it asks for."""

    protocol: str
    source: Ports | None = None
    destination: Ports | None = None

    def expressions(self) -> tuple[Expression, ...]:
        """The source port first, wherever it was written."""
        source = self.source.expressions(SOURCE_PORT_OFFSET) if self.source else ()
        destination = (
            self.destination.expressions(DESTINATION_PORT_OFFSET) if self.destination else ()
        )
        return source + destination

    def words(self) -> str:
        """As `iptables-save` prints it."""
        source = self.source.words("--sport") if self.source else ""
        destination = self.destination.words("--dport") if self.destination else ""
        return " ".join(filter(None, (f"-m {self.protocol}", source, destination)))


@dataclass(frozen=True, slots=True)
class Mark:
    """`-m mark`: those bits of the packet's mark that the mask has are (are not) this value."""

    value: int
    mask: int = ALL_BITS
    inverted: bool = False

    def expressions(self) -> tuple[Expression, ...]:
        """The mark is in the byte order of the machine."""
        masking = () if self.mask == ALL_BITS else (Bitwise(_NATIVE.pack(self.mask)),)
        return Meta(META_MARK), *masking, Cmp(_NATIVE.pack(self.value), self.inverted)

    def words(self) -> str:
        """As `iptables-save` prints it."""
        mask = "" if self.mask == ALL_BITS else f"/{self.mask:#x}"
        return f"-m mark {'! ' if self.inverted else ''}--mark {self.value:#x}{mask}"
