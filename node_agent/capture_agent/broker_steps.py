"""The steps the broker takes inside a pod's network namespace, each in the namespace it is in.

Sockets live no longer than their step: an open one would keep a dead pod's namespace alive.
"""

import errno
import os
import signal
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from pyroute2 import IPRoute
from pyroute2.netlink.diag import DiagSocket
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES
from pyroute2.netlink.nfnetlink.nftsocket import NFT_MSG_GETCHAIN, NFTSocket, nft_chain_msg

from capture_agent.broker_protocol import (
    MAX_OUTPUT,
    Chain,
    Chains,
    Execute,
    Executed,
    LegacyTables,
    ListChains,
    Listener,
    Listeners,
    ListLegacyTables,
    Step,
    StepResult,
)

_TCP_LISTEN = 1 << 10  # TCPF_LISTEN of include/net/tcp_states.h
_LEGACY_TABLES = {socket.AF_INET: "ip_tables_names", socket.AF_INET6: "ip6_tables_names"}
_OWN_NET = Path("/proc/thread-self/net")
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


def take(step: Step) -> StepResult:
    """Take one step in the network namespace that this thread is in.

    Raises:
        OSError: the step could not be taken.
        subprocess.SubprocessError: a program took longer than its step allows.
    """
    match step:
        case Execute():
            return _execute(step)
        case ListChains(family):
            return Chains(tuple(_nat_chains(family)))
        case ListLegacyTables(family):
            return LegacyTables(_legacy_tables(family))
    return Listeners(tuple(_listeners()))


def addresses() -> frozenset[str]:
    """List the addresses of this network namespace, both families, as text."""
    with IPRoute() as route:
        return frozenset(
            address
            for message in route.get_addr()
            for name, address in message["attrs"]
            if name in {"IFA_ADDRESS", "IFA_LOCAL"}
        )


def _execute(step: Execute) -> Executed:
    # Into memory files, whose size the broker's RLIMIT_FSIZE bounds: a pipe would be read to its
    # end, however much came.
    with _memory_file("stdout") as stdout, _memory_file("stderr") as stderr:
        done = subprocess.run(
            step.argv,
            input=step.stdin.encode(),
            stdout=stdout,
            stderr=stderr,
            check=False,
            timeout=step.timeout,
            env=_ENVIRONMENT,
        )
        if done.returncode == -signal.SIGXFSZ:
            raise OSError(errno.EFBIG, f"{step.argv[0]} printed more than {MAX_OUTPUT} bytes")
        return Executed(done.returncode, _text(stdout), _text(stderr))


def _memory_file(name: str) -> BinaryIO:
    return open(os.memfd_create(name), "w+b", buffering=0)  # noqa: PTH123 - no path


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _nat_chains(family: int) -> Iterable[Chain]:
    with NFTSocket(nfgen_family=family) as nft:
        request = nft_chain_msg()
        message_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETCHAIN
        for message in nft.request_get(request, message_type):
            if message.get_attr("NFTA_CHAIN_TABLE") == "nat":
                yield Chain(
                    _printed(message.get_attr("NFTA_CHAIN_NAME")),
                    _printed(message.get_attr("NFTA_CHAIN_USERDATA") or ""),
                )


def _printed(value: object) -> str:
    # pyroute2 hands out what it can't decode as it is.
    return value if isinstance(value, str) else repr(value)


def _legacy_tables(family: int) -> tuple[str, ...]:
    try:
        return tuple((_OWN_NET / _LEGACY_TABLES[socket.AddressFamily(family)]).read_text().split())
    except FileNotFoundError:  # the legacy modules are not loaded: there is no legacy table
        return ()


def _listeners() -> Iterable[Listener]:
    with DiagSocket() as diag:
        diag.bind()
        for family in (socket.AF_INET, socket.AF_INET6):
            for found in diag.get_sock_stats(family=family, states=_TCP_LISTEN):
                yield Listener(found["idiag_src"], found["idiag_sport"])
