"""Keeps connections that began before connection tracking did.

The kernel tracks connections in a network namespace only while rules there need it. In a pod that
never had any, the next packet of every connection would count as the first of a new one when ours
come in, be redirected, and end the connection: the proxy knows nothing of it. So each is told to
connection tracking first, as an established one that nobody rewrites.

Message formats are those of linux/netfilter/nfnetlink_conntrack.h.
"""

import errno
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from capture_agent.broker_client import Broker
from capture_agent.broker_protocol import SocketKind
from capture_agent.flows import Flow, Tuple, flow_of
from capture_agent.netlink_requests import acknowledged
from capture_agent.sandboxes import Sandbox
from capture_agent.tcp_sockets import tcp_connections
from capture_nft.attributes import attribute, be32, nested

Keep = Callable[[Sandbox], Awaitable[None]]
"""Keeps the connections of a sandbox; raises OSError, or what the broker does."""

_NEW: Final = 1 << 8  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_NEW
_CREATE: Final = 0x0600  # NLM_F_CREATE | NLM_F_EXCL
_NFGENMSG: Final = Struct(">BBH")
_ORIGINAL, _REPLY, _STATUS, _PROTOINFO, _TIMEOUT = 1, 2, 3, 4, 7
_SEEN_REPLY, _ASSURED, _CONFIRMED = 2, 4, 8
_ESTABLISHED: Final = b"\3"
_LIBERAL: Final = b"\x08\x08"  # its windows were not seen: no packet is out of one
_FIVE_DAYS: Final = 5 * 24 * 60 * 60
"""Seconds without a packet, as the kernel gives a connection that it saw itself."""
_PORT: Final = Struct(">H")


@dataclass(frozen=True, slots=True)
class FlowKeeper:
    """Tells connection tracking of a sandbox's connections over sockets that `broker` opens."""

    broker: Broker

    async def keep(self, sandbox: Sandbox) -> None:
        """Have every connection of the sandbox go on as it is when rules come in.

        Raises:
            SandboxRefusedError: the broker did not enter it.
            BrokerLostError: the broker died or hung.
            OSError: its connections could not be listed, or told.
        """
        opened = await self.broker.open(sandbox, SocketKind.SOCK_DIAG, SocketKind.CONNTRACK)
        sock_diag, conntrack = opened.sockets
        with sock_diag, conntrack:
            for message in tcp_connections(sock_diag):
                _tell(conntrack, flow_of(message))


def _tell(conntrack: socket.socket, flow: Flow) -> None:
    try:
        acknowledged(conntrack, _NEW, _CREATE, entry_of(flow))
    except OSError as error:
        if error.errno != errno.EEXIST:  # it is known: it began under rules, or is both ends here
            raise


def entry_of(flow: Flow) -> bytes:
    """What makes an entry of a flow; which end began it makes no difference any more."""
    there, back = flow.sent, (*flow.sent[2:], *flow.sent[:2])
    family = socket.AF_INET if flow.local.version == 4 else socket.AF_INET6  # noqa: PLR2004
    flags = (attribute(4, _LIBERAL), attribute(5, _LIBERAL))
    return _NFGENMSG.pack(family, 0, 0) + b"".join(
        (
            nested(_ORIGINAL, *_tuple(there)),
            nested(_REPLY, *_tuple(back)),
            be32(_STATUS, _SEEN_REPLY | _ASSURED | _CONFIRMED),
            nested(_PROTOINFO, nested(1, attribute(1, _ESTABLISHED), *flags)),
            be32(_TIMEOUT, _FIVE_DAYS),
        )
    )


def _tuple(direction: Tuple) -> Iterator[bytes]:
    source, source_port, destination, destination_port = direction
    kinds = (1, 2) if source.version == 4 else (3, 4)  # noqa: PLR2004
    yield nested(1, attribute(kinds[0], source.packed), attribute(kinds[1], destination.packed))
    yield nested(
        2,
        attribute(1, bytes([socket.IPPROTO_TCP])),
        attribute(2, _PORT.pack(source_port)),
        attribute(3, _PORT.pack(destination_port)),
    )
