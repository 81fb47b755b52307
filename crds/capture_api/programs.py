"""What to capture, resolved: the program that a CaptureProgram carries and an agent enforces.

Evaluation order, first hit decides (DESIGN of the API, docs/how-it-works.md):
inbound (PREROUTING, TCP): `exclude` passes, then `include` (or everything) is redirected.
outbound (OUTPUT): `exclude` passes; with `dns`, queries that are not the proxy's own are redirected
as `dns` says; then, of TCP, the loopback interface goes by `loopback`; the proxy's own
packets pass; 127.0.0.1 passes; `include` (or everything) is redirected.
"""

import hashlib
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import msgspec

from capture_api.cidrs import Cidr
from capture_api.interfaces import InterfaceName
from capture_api.owners import IdRange, NumericId
from capture_api.ports import Port, PortRange
from capture_api.wire import WireStruct, encode

DEFAULT_PROXY_ID = 1337

NumericIds = Annotated[tuple[NumericId, ...], msgspec.Meta(max_length=16)]
PortRanges = Annotated[tuple[PortRange, ...], msgspec.Meta(max_length=64)]
Cidrs = Annotated[tuple[Cidr, ...], msgspec.Meta(max_length=64)]
InterfaceNames = Annotated[tuple[InterfaceName, ...], msgspec.Meta(max_length=16)]
IdRanges = Annotated[tuple[IdRange, ...], msgspec.Meta(max_length=16)]


class Loopback(StrEnum):
    """What happens to packets that the pod sends to its own address over `lo`."""

    BYPASS = "Bypass"
    REDIRECT = "Redirect"
    INBOUND = "Inbound"


class IpFamily(StrEnum):
    """An address family, spelled as in `Service.spec.ipFamilies`."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


IpFamilies = Annotated[tuple[IpFamily, ...], msgspec.Meta(max_length=2)]


class Proxy(WireStruct, frozen=True, omit_defaults=False):
    """Whose outbound packets are the proxy's own and pass: numeric user and group ids."""

    uids: NumericIds = (DEFAULT_PROXY_ID,)
    gids: NumericIds = (DEFAULT_PROXY_ID,)


class InboundTerm(WireStruct, frozen=True):
    """Matches a packet when every field that is given matches; an empty field is not given."""

    ports: PortRanges = ()
    sources: Cidrs = ()
    interfaces: InterfaceNames = ()


class OutboundTerm(WireStruct, frozen=True):
    """Matches a packet when every field that is given matches; an empty field is not given."""

    ports: PortRanges = ()
    destinations: Cidrs = ()
    uids: IdRanges = ()
    gids: IdRanges = ()


InboundTerms = Annotated[tuple[InboundTerm, ...], msgspec.Meta(max_length=32)]
OutboundTerms = Annotated[tuple[OutboundTerm, ...], msgspec.Meta(max_length=32)]


class Inbound(WireStruct, frozen=True, omit_defaults=False):
    """Capture of the connections a pod accepts. An empty `include` means everything."""

    redirect_port: Port
    include: InboundTerms = ()
    exclude: InboundTerms = ()


class Outbound(WireStruct, frozen=True, omit_defaults=False):
    """Capture of the connections a pod opens. An empty `include` means everything."""

    redirect_port: Port
    include: OutboundTerms = ()
    exclude: OutboundTerms = ()
    loopback: Loopback = Loopback.BYPASS


class Dns(WireStruct, frozen=True, omit_defaults=False):
    """Capture of DNS queries, to port 53 over UDP and TCP. No `servers` means every server."""

    redirect_port: Port
    servers: Cidrs = ()


class Program(WireStruct, frozen=True, omit_defaults=False, cache_hash=True):
    """The resolved meaning of a TrafficCapture; at least one of its last three is there."""

    chain_prefix: str
    proxy: Proxy = Proxy()
    ip_families: IpFamilies = ()
    """Which families to capture; empty: those that the pod has addresses of."""
    inbound: Inbound | None = None
    outbound: Outbound | None = None
    dns: Dns | None = None


def schema_version(program: Program) -> int:
    """Say which `SCHEMA_VERSION` an agent has to know; an older one would drop a field unseen."""
    return 2 if program.dns or any(map(_is_of_version_2, _terms(program))) else 1


def _terms(program: Program) -> Iterator[InboundTerm | OutboundTerm]:
    for direction in (program.inbound, program.outbound):
        if direction is not None:
            yield from direction.include
            yield from direction.exclude


def _is_of_version_2(term: InboundTerm | OutboundTerm) -> bool:
    return bool(term.interfaces if isinstance(term, InboundTerm) else term.uids or term.gids)


def program_hash(program: Program) -> str:
    """Name a program by its content: 16 hex digits of SHA-256 over its canonical JSON.

    Equal programs have equal hashes on every node and version; the evidence in
    `NodeCapture.status` refers to a program by it.
    """
    content = encode(program)
    if program.dns is None:
        del content["dns"]  # as before there was such a field, when the same program had its name
    canonical = msgspec.json.encode(content, order="deterministic")
    return hashlib.sha256(canonical).hexdigest()[:16]
