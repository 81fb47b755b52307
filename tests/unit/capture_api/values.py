"""Arbitrary values of the API, for properties that hold for all of them."""

from ipaddress import IPv4Network, IPv6Network
from typing import TypeVar

from hypothesis import strategies as st

from capture_api.capture_programs import CaptureProgramSpec
from capture_api.captures import DriftPolicy, EstablishedConnections, FailurePolicy, Mode
from capture_api.cidrs import Cidr
from capture_api.interfaces import InterfaceName
from capture_api.owners import IdRange
from capture_api.ports import PortRange
from capture_api.programs import (
    Dns,
    Inbound,
    InboundTerm,
    Loopback,
    Outbound,
    OutboundTerm,
    Program,
    Proxy,
    program_hash,
    schema_version,
)
from capture_api.selection import LabelSelector, LabelSelectorRequirement, SelectorOperator

T = TypeVar("T")

ports = st.integers(1, 65535)
port_ranges = st.tuples(ports, ports).map(sorted).map(lambda ends: PortRange(*ends))
_MAPPED = IPv6Network("::ffff:0:0/96")


def _is_no_mapped_ipv4(network: IPv6Network) -> bool:
    return network.network_address not in _MAPPED


ipv4_networks = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(
    lambda pair: IPv4Network(pair, strict=False)
)
ipv6_networks = (
    st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128))
    .map(lambda pair: IPv6Network(pair, strict=False))
    .filter(_is_no_mapped_ipv4)
)
cidrs = st.one_of(ipv4_networks, ipv6_networks).map(Cidr)


def tuples_of(values: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    """Draw up to three different values."""
    return st.lists(values, max_size=3, unique=True).map(tuple)


numeric_ids = tuples_of(st.integers(0, 2**32 - 2))
proxies = st.builds(Proxy, uids=numeric_ids, gids=numeric_ids)
ids = st.integers(0, 2**32 - 2)
id_ranges = st.tuples(ids, ids).map(sorted).map(lambda ends: IdRange(*ends))
interface_names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}", fullmatch=True).map(
    InterfaceName
)
inbound_terms = st.builds(
    InboundTerm,
    ports=tuples_of(port_ranges),
    sources=tuples_of(cidrs),
    interfaces=tuples_of(interface_names),
)
outbound_terms = st.builds(
    OutboundTerm,
    ports=tuples_of(port_ranges),
    destinations=tuples_of(cidrs),
    uids=tuples_of(id_ranges),
    gids=tuples_of(id_ranges),
)
inbounds = st.builds(
    Inbound,
    redirect_port=ports,
    include=tuples_of(inbound_terms),
    exclude=tuples_of(inbound_terms),
)
outbounds = st.builds(
    Outbound,
    redirect_port=ports,
    include=tuples_of(outbound_terms),
    exclude=tuples_of(outbound_terms),
    loopback=st.sampled_from(Loopback),
)
queries = st.builds(Dns, redirect_port=ports, servers=tuples_of(cidrs))
programs = st.builds(
    Program,
    chain_prefix=st.sampled_from(["CAPTURE", "ISTIO", "A", "PROXY_2"]),
    proxy=proxies,
    inbound=st.none() | inbounds,
    outbound=st.none() | outbounds,
    dns=st.none() | queries,
)

label_keys = st.sampled_from(["app", "tier", "example.com/team"])
label_values = st.sampled_from(["", "a", "b", "c"])
labels = st.dictionaries(label_keys, label_values)
requirements = st.one_of(
    st.builds(
        LabelSelectorRequirement,
        key=label_keys,
        operator=st.sampled_from([SelectorOperator.IN, SelectorOperator.NOT_IN]),
        values=st.lists(label_values, min_size=1, max_size=3).map(tuple),
    ),
    st.builds(
        LabelSelectorRequirement,
        key=label_keys,
        operator=st.sampled_from([SelectorOperator.EXISTS, SelectorOperator.DOES_NOT_EXIST]),
    ),
)
selectors = st.builds(
    LabelSelector,
    match_labels=labels,
    match_expressions=st.lists(requirements, max_size=3).map(tuple),
)


@st.composite
def capture_program_specs(draw: st.DrawFn) -> CaptureProgramSpec:
    """Draw a resolved capture."""
    program = draw(programs)
    return CaptureProgramSpec(
        schema_version=schema_version(program),
        capture_uid=str(draw(st.uuids())),
        capture_generation=draw(st.integers(1, 10)),
        capture_created=draw(st.none() | st.just("2026-01-01T00:00:00Z")),
        selector=draw(selectors),
        priority=draw(st.integers(-(2**31), 2**31 - 1)),
        mode=draw(st.sampled_from(Mode)),
        suspend=draw(st.booleans()),
        drift_policy=draw(st.sampled_from(DriftPolicy)),
        failure_policy=draw(st.sampled_from(FailurePolicy)),
        established_connections=draw(st.sampled_from(EstablishedConnections)),
        withdrawn=draw(st.booleans()),
        program=program,
        hash=program_hash(program),
    )
