"""A program becomes exactly the rules that the API's evaluation order describes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
)
from capture_api.programs import Proxy as ProxyIds
from capture_nat.compiling import compile_program
from capture_nat.enforceable import UnenforceableProgramError
from capture_nat.families import Family
from capture_nat.rulesets import Hook, Ruleset
from capture_nat.walk import walk
from reference_rules import REFERENCE_RULES
from unit.capture_nat.evaluation import evaluate_received, evaluate_sent
from unit.capture_nat.programs import (
    REFERENCE_PROGRAM,
    packets_received,
    packets_sent,
    programs,
)
from unit.capture_nat.tables import programmed


def _listing(ruleset: Ruleset) -> str:
    lines = [f"-N {chain.name}" for chain in ruleset.chains]
    lines += [jump.rule for jump in ruleset.jumps]
    lines += [rule for chain in ruleset.chains for rule in chain.rules]
    return "".join(f"{line}\n" for line in lines)


def _rules(ruleset: Ruleset, chain: str) -> list[str]:
    (found,) = (each for each in ruleset.chains if each.name == chain)
    return [rule.removeprefix(f"-A {chain} ") for rule in found.rules]


def _outbound(**fields: object) -> Program:
    return Program(chain_prefix="P", outbound=Outbound(redirect_port=15001, **fields))  # type: ignore[arg-type]


def test_reference_program_gives_the_reference_rules() -> None:
    """What istio-init wrote comes out byte for byte."""
    assert _listing(compile_program(REFERENCE_PROGRAM, Family.IPV4)) == REFERENCE_RULES


def test_reference_program_in_ipv6_differs_in_the_loopback_address_only() -> None:
    """The families are twins."""
    expected = REFERENCE_RULES.replace("127.0.0.1/32", "::1/128")
    assert _listing(compile_program(REFERENCE_PROGRAM, Family.IPV6)) == expected


@pytest.mark.parametrize("family", Family)
@given(data=st.data(), program=programs())
def test_a_sent_packet_meets_the_verdict_of_the_specification(
    family: Family, data: st.DataObject, program: Program
) -> None:
    """The rules decide about every outbound packet as the evaluation order does."""
    packet = data.draw(packets_sent(family.value))
    table = programmed(compile_program(program, family))
    assert walk(table, packet, Hook.OUTPUT) == evaluate_sent(program, packet)


@pytest.mark.parametrize("family", Family)
@given(data=st.data(), program=programs())
def test_a_received_packet_meets_the_verdict_of_the_specification(
    family: Family, data: st.DataObject, program: Program
) -> None:
    """The rules decide about every inbound packet as the evaluation order does."""
    packet = data.draw(packets_received(family.value))
    table = programmed(compile_program(program, family))
    assert walk(table, packet, Hook.PREROUTING) == evaluate_received(program, packet)


@given(program=programs())
def test_no_rule_is_written_twice(program: Program) -> None:
    """A repeated rule could not be told from one that somebody added."""
    for chain in compile_program(program, Family.IPV4).chains:
        assert len(set(chain.rules)) == len(chain.rules)


def test_an_absent_direction_has_no_chains() -> None:
    """Without `inbound` there is nothing of ours in PREROUTING."""
    ruleset = compile_program(_outbound(), Family.IPV4)
    assert ruleset.names == {"P_OUTPUT", "P_REDIRECT"}
    assert [jump.base for jump in ruleset.jumps] == ["OUTPUT"]


def test_bypass_passes_the_pods_own_address_for_everybody() -> None:
    """Under `Bypass` what goes over lo to another address than loopback is passed first."""
    ruleset = compile_program(_outbound(), Family.IPV4)
    assert _rules(ruleset, "P_OUTPUT")[0] == "! -d 127.0.0.1/32 -o lo -j RETURN"


def test_inbound_loopback_sends_the_proxys_own_packets_to_the_inbound_port() -> None:
    """Under `Inbound` each proxy id has its rule, and all others pass."""
    program = Program(
        chain_prefix="P",
        proxy=ProxyIds(uids=(7,), gids=(8,)),
        inbound=Inbound(redirect_port=15006),
        outbound=Outbound(redirect_port=15001, loopback=Loopback.INBOUND),
    )
    assert _rules(compile_program(program, Family.IPV4), "P_OUTPUT")[:3] == [
        "! -d 127.0.0.1/32 -o lo -m owner --uid-owner 7 -j P_IN_REDIRECT",
        "! -d 127.0.0.1/32 -o lo -m owner --gid-owner 8 -j P_IN_REDIRECT",
        "! -d 127.0.0.1/32 -o lo -j RETURN",
    ]


def test_a_term_has_one_rule_for_each_address_and_port() -> None:
    """No multiport and no sets: they list differently from version to version."""
    term = OutboundTerm(
        ports=(PortRange(80, 80), PortRange(8000, 8100)),
        destinations=(Cidr.parse("10.0.0.0/8"), Cidr.parse("fd00::/8"), Cidr.parse("0.0.0.0/0")),
    )
    ruleset = compile_program(_outbound(exclude=(term,)), Family.IPV4)
    assert _rules(ruleset, "P_OUTPUT")[:4] == [
        "-d 10.0.0.0/8 -p tcp -m tcp --dport 80 -j RETURN",
        "-d 10.0.0.0/8 -p tcp -m tcp --dport 8000:8100 -j RETURN",
        "-p tcp -m tcp --dport 80 -j RETURN",
        "-p tcp -m tcp --dport 8000:8100 -j RETURN",
    ]


def test_a_term_of_interfaces_matches_where_packets_come_in() -> None:
    """Ahead of the ports, as iptables prints it."""
    term = InboundTerm(
        ports=(PortRange(80, 80),), interfaces=(InterfaceName("eth0"), InterfaceName("net1"))
    )
    program = Program(chain_prefix="P", inbound=Inbound(redirect_port=15001, include=(term,)))
    assert _rules(compile_program(program, Family.IPV4), "P_INBOUND") == [
        "-i eth0 -p tcp -m tcp --dport 80 -j P_IN_REDIRECT",
        "-i net1 -p tcp -m tcp --dport 80 -j P_IN_REDIRECT",
    ]


def test_a_term_of_uids_and_gids_asks_for_both() -> None:
    """In one match of the sender."""
    term = OutboundTerm(uids=(IdRange(0, 0), IdRange(1000, 2000)), gids=(IdRange(5, 5),))
    ruleset = compile_program(_outbound(exclude=(term,)), Family.IPV4)
    assert _rules(ruleset, "P_OUTPUT")[:2] == [
        "-m owner --uid-owner 0 --gid-owner 5 -j RETURN",
        "-m owner --uid-owner 1000-2000 --gid-owner 5 -j RETURN",
    ]


def test_queries_are_redirected_ahead_of_connections() -> None:
    """The jump takes every packet; what is neither a query nor TCP passes."""
    program = Program(
        chain_prefix="P",
        proxy=ProxyIds(uids=(7,), gids=()),
        outbound=Outbound(redirect_port=15001),
        dns=Dns(redirect_port=15053, servers=(Cidr.parse("10.96.0.10/32"), Cidr.parse("::/0"))),
    )
    ruleset = compile_program(program, Family.IPV4)
    assert [jump.rule for jump in ruleset.jumps] == ["-A OUTPUT -j P_OUTPUT"]
    assert _rules(ruleset, "P_OUTPUT") == [
        "-p udp -m udp --dport 53 -j P_DNS",
        "-p tcp -m tcp --dport 53 -j P_DNS",
        "! -p tcp -j RETURN",
        "! -d 127.0.0.1/32 -o lo -j RETURN",
        "-m owner --uid-owner 7 -j RETURN",
        "-d 127.0.0.1/32 -j RETURN",
        "-j P_REDIRECT",
    ]
    assert _rules(ruleset, "P_DNS") == [
        "-m owner --uid-owner 7 -j RETURN",
        "-d 10.96.0.10/32 -p udp -j REDIRECT --to-ports 15053",
        "-d 10.96.0.10/32 -p tcp -j REDIRECT --to-ports 15053",
    ]


def test_queries_alone_have_no_more_than_their_chains() -> None:
    """Without `outbound` no connection is touched."""
    program = Program(chain_prefix="P", proxy=ProxyIds(), dns=Dns(redirect_port=15053))
    ruleset = compile_program(program, Family.IPV4)
    assert ruleset.names == {"P_DNS", "P_OUTPUT"}
    assert _rules(ruleset, "P_DNS")[-2:] == [
        "-p udp -j REDIRECT --to-ports 15053",
        "-p tcp -j REDIRECT --to-ports 15053",
    ]


def test_an_excluded_port_53_is_excluded_over_udp_too() -> None:
    """A port in a term is a port, whatever carries it."""
    term = OutboundTerm(ports=(PortRange(50, 60),), destinations=(Cidr.parse("10.0.0.0/8"),))
    program = Program(
        chain_prefix="P",
        outbound=Outbound(redirect_port=15001, exclude=(term,)),
        dns=Dns(redirect_port=15053),
    )
    assert _rules(compile_program(program, Family.IPV4), "P_OUTPUT")[:2] == [
        "-d 10.0.0.0/8 -p tcp -m tcp --dport 50:60 -j RETURN",
        "-d 10.0.0.0/8 -p udp -m udp --dport 53 -j RETURN",
    ]


def test_an_include_of_the_other_family_captures_nothing() -> None:
    """A term whose addresses are all of the other family does not become "any"."""
    include = (InboundTerm(ports=(PortRange(80, 80),), sources=(Cidr.parse("fd00::/8"),)),)
    program = Program(chain_prefix="P", inbound=Inbound(redirect_port=15001, include=include))
    assert _rules(compile_program(program, Family.IPV4), "P_INBOUND") == []


@pytest.mark.parametrize(
    ("program", "field"),
    [
        (Program(chain_prefix="X -j ACCEPT\n"), "chainPrefix"),
        (_outbound(loopback=Loopback.INBOUND), "outbound.loopback"),
    ],
)
def test_a_damaged_program_is_refused_by_field(program: Program, field: str) -> None:
    """Nothing that is not a checked value reaches a rule, wherever the program came from."""
    with pytest.raises(UnenforceableProgramError, match=field):
        compile_program(program, Family.IPV4)
