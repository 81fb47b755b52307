"""The targets that rewrite addresses and ports: REDIRECT, MASQUERADE, DNAT and SNAT.

All say their range in a structure of linux/netfilter/nf_nat.h: `nf_nat_ipv4_multi_range_compat`
with one range, `nf_nat_range`, or, DNAT in both families, `nf_nat_range2`.
"""

import struct
from dataclasses import dataclass
from enum import IntFlag, StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Self

from capture_nat.families import Family
from capture_nft.errors import UnknownExpressionError
from capture_nft.expressions import Expression, XtTarget
from capture_nft.headers import printed_address

_MULTI_RANGE: Final = struct.Struct("=II4s4s2s2s")
_RANGE: Final = struct.Struct("=I16s16s2s2s")
_RANGE2: Final = struct.Struct("=I16s16s2s2s2s2x")
_ONE_RANGE: Final = 1


AddressRange = tuple[IPv4Address, IPv4Address] | tuple[IPv6Address, IPv6Address]


class NatFlag(IntFlag):
    """NF_NAT_RANGE_...: what of a range is given, and how it is used."""

    ADDRESSES = 1
    PORTS = 2
    RANDOM = 4
    PERSISTENT = 8
    RANDOM_FULLY = 16
    BASE_PORT = 32


NO_FLAGS: Final = NatFlag(0)


class NatKind(StrEnum):
    """A target of the nat table."""

    REDIRECT = "REDIRECT"
    MASQUERADE = "MASQUERADE"
    DNAT = "DNAT"
    SNAT = "SNAT"


_PORT_FLAGS: Final = NatFlag.PORTS | NatFlag.RANDOM
_ADDRESS_FLAGS: Final = _PORT_FLAGS | NatFlag.ADDRESSES | NatFlag.PERSISTENT | NatFlag.RANDOM_FULLY
_FLAGS: Final = {
    NatKind.REDIRECT: _PORT_FLAGS,
    NatKind.MASQUERADE: _PORT_FLAGS | NatFlag.RANDOM_FULLY,
    NatKind.DNAT: _ADDRESS_FLAGS | NatFlag.BASE_PORT,
    NatKind.SNAT: _ADDRESS_FLAGS,
}
_WITH_ADDRESSES: Final = frozenset({NatKind.DNAT, NatKind.SNAT})
_GIVEN: Final = NatFlag.ADDRESSES | NatFlag.PORTS
_OPTIONS: Final = {
    NatKind.REDIRECT: "--to-ports",
    NatKind.MASQUERADE: "--to-ports",
    NatKind.DNAT: "--to-destination",
    NatKind.SNAT: "--to-source",
}


@dataclass(frozen=True, slots=True)
class Nat:
    """A target with what it rewrites to: a range of addresses, of ports, both or nothing."""

    kind: NatKind
    flags: NatFlag = NO_FLAGS
    addresses: AddressRange | None = None
    ports: tuple[int, int] | None = None
    base_port: int = 0

    @classmethod
    def redirect(cls, first: int, last: int) -> Self:
        """Redirect to the pod's own address, to one of a range of ports."""
        return cls(NatKind.REDIRECT, NatFlag.PORTS, ports=(first, last))

    def expression(self, family: Family) -> Expression:
        """As iptables 1.8.9 sends it."""
        first, last = (each.packed for each in self.addresses) if self.addresses else (b"", b"")
        ports = [_port(port) for port in self.ports or (0, 0)]
        if self.kind is NatKind.DNAT:
            info = _RANGE2.pack(self.flags, first, last, *ports, _port(self.base_port))
        elif family is Family.IPV4:
            info = _MULTI_RANGE.pack(_ONE_RANGE, self.flags, first, last, *ports)
        else:
            info = _RANGE.pack(self.flags, first, last, *ports)
        return XtTarget(self.kind, _revision(self.kind, family), info)

    @classmethod
    def of(cls, target: XtTarget, family: Family) -> Self:
        """Read what the kernel holds.

        Raises:
            UnknownExpressionError: it has a revision or flags that iptables 1.8.9 does not use.
        """
        kind = NatKind(target.name)
        if target.revision != _revision(kind, family):
            raise UnknownExpressionError(f"a target {kind} of revision {target.revision}")
        flags, first, last, first_port, last_port, base_port = _fields(kind, family, target.info)
        if flags & ~_FLAGS[kind] or (kind in _WITH_ADDRESSES and not flags & _GIVEN):
            raise UnknownExpressionError(f"a target {kind} with flags {flags:#x}")
        has = NatFlag(flags)
        return cls(
            kind,
            has,
            _addresses(first, last, family) if NatFlag.ADDRESSES in has else None,
            (_number(first_port), _number(last_port)) if NatFlag.PORTS in has else None,
            _number(base_port),
        )

    def words(self) -> str:
        """As `iptables-save` prints it."""
        where = _printed_addresses(self.addresses, with_ports=self.ports is not None)
        if self.ports:
            where += "" if _OPTIONS[self.kind] == "--to-ports" else ":"
            where += "-".join(map(str, dict.fromkeys(self.ports)))
        if NatFlag.BASE_PORT in self.flags:
            where += f"/{self.base_port}"
        options = [f"{_OPTIONS[self.kind]} {where}"] if where else []
        options += [option for flag, option in _BEHAVIOUR.items() if flag in self.flags]
        return " ".join(["-j", self.kind, *options])


_BEHAVIOUR: Final = {
    NatFlag.RANDOM: "--random",
    NatFlag.RANDOM_FULLY: "--random-fully",
    NatFlag.PERSISTENT: "--persistent",
}


def _revision(kind: NatKind, family: Family) -> int:
    if kind is NatKind.DNAT:
        return 2
    return int(kind is NatKind.SNAT and family is Family.IPV6)


def _fields(
    kind: NatKind, family: Family, info: bytes
) -> tuple[int, bytes, bytes, bytes, bytes, bytes]:
    if kind is NatKind.DNAT:
        return _RANGE2.unpack_from(info)
    if family is Family.IPV6:
        return (*_RANGE.unpack_from(info), b"")
    return (*_MULTI_RANGE.unpack_from(info)[1:], b"")


def _addresses(first: bytes, last: bytes, family: Family) -> AddressRange:
    if family is Family.IPV4:
        return IPv4Address(first[:4]), IPv4Address(last[:4])
    return IPv6Address(first), IPv6Address(last)


def _printed_addresses(addresses: AddressRange | None, *, with_ports: bool) -> str:
    if addresses is None:
        return ""
    printed = "-".join(dict.fromkeys(map(printed_address, addresses)))
    return f"[{printed}]" if with_ports and isinstance(addresses[0], IPv6Address) else printed


def _port(port: int) -> bytes:
    return port.to_bytes(2, "big")


def _number(port: bytes) -> int:
    return int.from_bytes(port, "big")
