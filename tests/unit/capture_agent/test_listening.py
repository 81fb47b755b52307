"""A redirect port counts as served when a socket takes connections where REDIRECT sends them."""

import pytest
from msgspec.structs import replace

from capture_agent.listening import Listener, ports_not_listening
from capture_api.programs import Dns, Inbound, IpFamily, Outbound, Program

POD_IPS = ("10.1.2.3",)
DUAL = ("10.1.2.3", "fd00::3")
INBOUND = Program(chain_prefix="C", inbound=Inbound(redirect_port=15006))
OUTBOUND = Program(chain_prefix="C", outbound=Outbound(redirect_port=15001))


@pytest.mark.parametrize(
    ("address", "inbound", "outbound"),
    [
        ("0.0.0.0", True, True),  # noqa: S104 - nothing is bound
        ("::", True, True),
        ("10.1.2.3", True, False),
        ("::ffff:10.1.2.3", True, False),
        ("127.0.0.1", False, True),
        ("::ffff:127.0.0.1", False, True),
        ("::1", False, False),
        ("10.9.9.9", False, False),
        ("127.0.0.2", False, False),
    ],
)
def test_where_a_socket_has_to_listen(address: str, inbound: bool, outbound: bool) -> None:  # noqa: FBT001
    """Inbound connections keep the pod's address, outbound ones go to 127.0.0.1."""
    sockets = [Listener(address, 15006), Listener(address, 15001)]
    assert (ports_not_listening(INBOUND, sockets, POD_IPS) == ()) is inbound
    assert (ports_not_listening(OUTBOUND, sockets, POD_IPS) == ()) is outbound


def test_queries_over_tcp_need_somebody_who_takes_them() -> None:
    """They go to 127.0.0.1, as other outbound connections do."""
    program = Program(chain_prefix="C", dns=Dns(redirect_port=15053))
    assert ports_not_listening(program, [Listener("10.1.2.3", 15053)], POD_IPS) == (15053,)
    assert ports_not_listening(program, [Listener("127.0.0.1", 15053)], POD_IPS) == ()


@pytest.mark.parametrize(
    ("addresses", "inbound", "outbound"),
    [
        (("::",), True, True),
        (("0.0.0.0",), False, False),  # noqa: S104 - nothing is bound
        (("0.0.0.0", "::1"), False, True),  # noqa: S104 - the same
        (("10.1.2.3", "fd00:0::3"), True, False),
        (("127.0.0.1", "::1"), False, True),
        (("fd00::3",), False, False),
    ],
)
def test_a_pod_of_both_families_needs_sockets_for_both(
    addresses: tuple[str, ...],
    inbound: bool,  # noqa: FBT001
    outbound: bool,  # noqa: FBT001
) -> None:
    """A proxy on 0.0.0.0 alone takes no IPv6 connection, and the rules would send it some."""
    sockets = [Listener(address, port) for address in addresses for port in (15001, 15006)]
    assert (ports_not_listening(INBOUND, sockets, DUAL) == ()) is inbound
    assert (ports_not_listening(OUTBOUND, sockets, DUAL) == ()) is outbound


def test_a_family_that_is_not_captured_needs_no_socket() -> None:
    """The program says which are."""
    program = replace(INBOUND, ip_families=(IpFamily.IPV4,))
    assert ports_not_listening(program, [Listener("10.1.2.3", 15006)], DUAL) == ()


def test_a_socket_on_another_port_does_not_count() -> None:
    """Every port on which nobody listens is told, once and in order."""
    program = Program(chain_prefix="C", inbound=INBOUND.inbound, outbound=OUTBOUND.outbound)
    assert ports_not_listening(program, [Listener("::", 80)], POD_IPS) == (15001, 15006)


def test_one_port_for_both_directions_is_told_once() -> None:
    """Though only one of the directions is not served."""
    program = Program(
        chain_prefix="C", inbound=Inbound(redirect_port=1), outbound=Outbound(redirect_port=1)
    )
    assert ports_not_listening(program, [Listener("127.0.0.1", 1)], POD_IPS) == (1,)
