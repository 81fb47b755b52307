"""From a spec to a program, or to an error that a user can act on."""

import re

import pytest

from capture_api.captures import TrafficCaptureSpec
from capture_api.cidrs import Cidr
from capture_api.interfaces import InterfaceName
from capture_api.owners import IdRange
from capture_api.ports import PortRange
from capture_api.programs import Inbound, InboundTerm, Loopback, Outbound, OutboundTerm, Program
from capture_api.resolution import InvalidSpecError, decode_spec, resolve, rules_of
from capture_specs import (
    REFERENCE,
    REFUSED,
    REFUSED_BY_THE_SCHEMA_ALONE,
    TAKEN,
    Refused,
    Taken,
    capture,
    inbound,
)


@pytest.mark.parametrize("taken", TAKEN, ids=lambda taken: taken.name)
def test_a_valid_spec_resolves(taken: Taken) -> None:
    """The program has the spec's own parts."""
    spec = decode_spec(taken.spec)
    program = resolve(spec)
    assert (program.inbound, program.outbound) == (spec.inbound, spec.outbound)
    assert program.dns == spec.dns
    assert (program.proxy, program.chain_prefix) == (spec.proxy, spec.chain_prefix)


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused.name)
def test_an_invalid_spec_is_refused_by_field(refused: Refused) -> None:
    """The message begins with a path, and names the field."""
    with pytest.raises(InvalidSpecError, match=rf"^(?=spec).*\b{re.escape(refused.leaf)}\b"):
        resolve(decode_spec(refused.spec))


@pytest.mark.parametrize("refused", REFUSED_BY_THE_SCHEMA_ALONE, ids=lambda refused: refused.name)
def test_what_only_the_schema_refuses_does_no_harm(refused: Refused) -> None:
    """The types read it."""
    assert isinstance(resolve(decode_spec(refused.spec)), Program)


def test_the_reference_resolves_to_its_program() -> None:
    """Every field arrives where it belongs."""
    assert resolve(decode_spec(REFERENCE)) == Program(
        chain_prefix="ISTIO",
        inbound=Inbound(redirect_port=15001, include=(InboundTerm(ports=(PortRange(80, 80),)),)),
        outbound=Outbound(redirect_port=15001, loopback=Loopback.REDIRECT),
    )


def test_the_smallest_spec_has_the_documented_defaults() -> None:
    """What is left out is safe: nothing suspended, repaired, the proxy's packets pass."""
    spec = decode_spec(capture())
    assert spec == TrafficCaptureSpec(
        pod_selector=spec.pod_selector, inbound=Inbound(redirect_port=15001)
    )


def test_an_error_has_the_path_first() -> None:
    """As the API server writes its own."""
    with pytest.raises(InvalidSpecError) as refusal:
        decode_spec(inbound(include=[{"ports": ["80", "http"]}]))
    assert str(refusal.value).startswith("spec.inbound.include[0].ports[1]: 'http' is not a port")


def test_a_value_cannot_break_out_of_its_message() -> None:
    """Control characters of a user don't reach a log or a terminal."""
    with pytest.raises(InvalidSpecError) as refusal:
        resolve(decode_spec(capture(chainPrefix="A\x1b[2J\n")))
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    ("ports", "addresses", "rules"), [(1, 0, 1), (0, 1, 1), (3, 0, 3), (0, 4, 4), (3, 4, 12)]
)
def test_a_term_expands_to_ports_times_addresses(ports: int, addresses: int, rules: int) -> None:
    """A field that isn't given counts as one."""
    ranges = tuple(PortRange(port, port) for port in range(1, ports + 1))
    networks = tuple(Cidr.parse(f"10.{number}.0.0/16") for number in range(addresses))
    assert rules_of(InboundTerm(ports=ranges, sources=networks)) == rules
    assert rules_of(OutboundTerm(ports=ranges, destinations=networks)) == rules


def test_every_field_of_a_term_multiplies_its_rules() -> None:
    """The kernel has no rule that asks for one of several."""
    ids = (IdRange(0, 0), IdRange(1, 1000))
    names = tuple(map(InterfaceName, ("eth0", "net1", "net2")))
    assert rules_of(OutboundTerm(ports=(PortRange(1, 1),), uids=ids, gids=ids)) == 4
    assert rules_of(InboundTerm(sources=(Cidr.parse("::/0"),), interfaces=names)) == 3
