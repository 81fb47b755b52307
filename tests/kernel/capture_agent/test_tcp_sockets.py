"""TCP sockets that are read by hand are those that a library reads."""

import socket

from pyroute2.netlink.diag import DiagSocket

from capture_agent.broker_protocol import NETLINK_SOCK_DIAG
from capture_agent.listening import Listener
from capture_agent.tcp_sockets import tcp_listeners
from kernel.capture_agent.entering import there
from kernel.pods import Pod

_LISTEN = 1 << 10


def test_listeners_are_those_that_a_library_lists(pod: Pod) -> None:
    """Of both families; what is only connected is none."""

    def listed() -> tuple[set[Listener], set[Listener]]:
        with (
            socket.create_server(("127.0.0.1", 0)) as ours,
            socket.create_server(("::", 0), family=socket.AF_INET6),
            socket.create_connection(ours.getsockname()),
            DiagSocket() as diag,
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as by_hand,
        ):
            diag.bind()
            found = [
                Listener(item["idiag_src"], item["idiag_sport"])
                for family in (socket.AF_INET, socket.AF_INET6)
                for item in diag.get_sock_stats(family=family, states=_LISTEN)
            ]
            return set(found), set(tcp_listeners(by_hand))

    by_library, by_hand = there(pod, listed)
    assert by_hand == by_library
    assert len(by_hand) == 2
