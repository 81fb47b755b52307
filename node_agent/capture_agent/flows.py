"""TCP connections of a pod, as its sockets tell, and which of them a program would redirect. Pure.

A socket tells its user and not its group, and nothing of interfaces: a proxy that is known by its
group alone, and terms with `gids` or `interfaces`, are judged as if nothing matched.
"""

import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from capture_api.programs import Program
from capture_nat.compiling import compile_program
from capture_nat.families import Family
from capture_nat.rulesets import BUILTIN_CHAINS, Hook
from capture_nat.tables import NatTable, TableChain
from capture_nat.walk import PASS, Packet, walk

_DIAG_MESSAGE: Final = struct.Struct("=BBBB48s12xI4x")  # struct inet_diag_msg
_DIAG_ID: Final = struct.Struct(">HH16s16s12x")  # struct inet_diag_sockid

Address = IPv4Address | IPv6Address
Tuple = tuple[Address, int, Address, int]
"""A direction of a connection: source and its port, destination and its port."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One socket with its peer, and the user that it belongs to."""

    local: Address
    local_port: int
    remote: Address
    remote_port: int
    uid: int
    socket_family: int
    socket_id: bytes
    """As the kernel names the socket, `struct inet_diag_sockid`."""

    @property
    def sent(self) -> Tuple:
        """The direction away from the socket."""
        return self.local, self.local_port, self.remote, self.remote_port

    @property
    def is_within_pod(self) -> bool:
        """Whether its other end is in the same network namespace."""
        return self.remote.is_loopback or self.remote == self.local


def flow_of(message: bytes) -> Flow:
    """Read a `struct inet_diag_msg`; IPv4 over a socket of IPv6 is IPv4."""
    family, _, _, _, socket_id, uid = _DIAG_MESSAGE.unpack_from(message)
    local_port, remote_port, local, remote = _DIAG_ID.unpack(socket_id)
    size = 4 if family == socket.AF_INET else 16
    return Flow(
        _unmapped(ip_address(local[:size])),
        local_port,
        _unmapped(ip_address(remote[:size])),
        remote_port,
        uid,
        family,
        socket_id,
    )


def uncaptured(
    program: Program, flows: Iterable[Flow], listening: frozenset[int], redirected: frozenset[Tuple]
) -> Iterator[Flow]:
    """The flows that the program's rules would redirect if they began now, and have not.

    Args:
        program: what the pod holds.
        flows: its connected sockets.
        listening: ports on which somebody in the pod accepts connections.
        redirected: both directions of what connection tracking knows as redirected.
    """
    for flow in flows:
        if not flow.is_within_pod and flow.sent not in redirected:
            is_accepted = flow.local_port in listening
            hook = Hook.PREROUTING if is_accepted else Hook.OUTPUT
            table = _table(program, Family(flow.local.version))
            if walk(table, _packet(flow, hook), hook) != PASS:
                yield flow


def _packet(flow: Flow, hook: Hook) -> Packet:
    if hook is Hook.PREROUTING:
        return Packet(flow.remote, flow.local, flow.local_port)
    return Packet(flow.local, flow.remote, flow.remote_port, uid=flow.uid)


@lru_cache(maxsize=8)
def _table(program: Program, family: Family) -> NatTable:
    ruleset = compile_program(program, family)
    chains = {name: TableChain("ACCEPT") for name in BUILTIN_CHAINS}
    chains |= {jump.base: TableChain("ACCEPT", (jump.rule,)) for jump in ruleset.jumps}
    chains |= {chain.name: TableChain(None, chain.rules) for chain in ruleset.chains}
    return NatTable(chains)


def _unmapped(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
