"""A program's name is its content."""

import pytest
from hypothesis import given
from msgspec.structs import replace

from capture_api.cidrs import Cidr
from capture_api.interfaces import InterfaceName
from capture_api.names import SCHEMA_VERSION
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
from capture_api.resolution import decode_spec, resolve
from capture_api.wire import decode, encode
from capture_specs import REFERENCE
from unit.capture_api.values import programs

WEB = InboundTerm(ports=(PortRange(80, 80),), sources=(Cidr.parse("10.0.0.0/8"),))
PROGRAM = Program(
    chain_prefix="ISTIO",
    inbound=Inbound(redirect_port=15001, include=(WEB,)),
    outbound=Outbound(redirect_port=15001),
)


def test_the_hash_of_the_reference_never_changes() -> None:
    """Agents and operators of different versions must name it alike."""
    assert program_hash(resolve(decode_spec(REFERENCE))) == "2488543996fb1e79"


@given(programs)
def test_a_program_keeps_its_hash_over_the_wire(program: Program) -> None:
    """The agent names what it read as the operator named what it wrote."""
    assert program_hash(decode(encode(program), Program)) == program_hash(program)


@given(programs, programs)
def test_only_equal_programs_share_a_hash(one: Program, other: Program) -> None:
    """Different content, different name."""
    assert (program_hash(one) == program_hash(other)) == (one == other)


@pytest.mark.parametrize(
    "changed",
    [
        replace(PROGRAM, chain_prefix="OTHER"),
        replace(PROGRAM, proxy=Proxy(uids=(1338,))),
        replace(PROGRAM, proxy=Proxy(gids=())),
        replace(PROGRAM, inbound=None),
        replace(PROGRAM, inbound=Inbound(redirect_port=15006, include=(WEB,))),
        replace(PROGRAM, inbound=Inbound(redirect_port=15001)),
        replace(PROGRAM, inbound=Inbound(redirect_port=15001, exclude=(WEB,))),
        replace(
            PROGRAM,
            inbound=Inbound(redirect_port=15001, include=(InboundTerm(ports=WEB.ports),)),
        ),
        replace(PROGRAM, outbound=Outbound(redirect_port=15001, loopback=Loopback.REDIRECT)),
    ],
)
def test_every_part_changes_the_hash(changed: Program) -> None:
    """Nothing that the rules depend on is left out of the name."""
    assert program_hash(changed) != program_hash(PROGRAM)


def test_a_program_without_newer_fields_is_of_the_first_version() -> None:
    """Agents that are not upgraded yet enforce it."""
    assert schema_version(PROGRAM) == 1


@pytest.mark.parametrize(
    "newer",
    [
        Program(
            chain_prefix="P",
            inbound=Inbound(
                redirect_port=1, exclude=(InboundTerm(interfaces=(InterfaceName("eth0"),)),)
            ),
        ),
        Program(chain_prefix="P", dns=Dns(redirect_port=15053)),
        Program(
            chain_prefix="P",
            outbound=Outbound(redirect_port=1, include=(OutboundTerm(uids=(IdRange(0, 0),)),)),
        ),
        Program(
            chain_prefix="P",
            outbound=Outbound(redirect_port=1, exclude=(OutboundTerm(gids=(IdRange(0, 0),)),)),
        ),
    ],
)
def test_a_program_with_newer_fields_is_kept_from_older_agents(newer: Program) -> None:
    """They would capture what a field that they don't know leaves out."""
    assert schema_version(newer) == SCHEMA_VERSION == 2
