"""Floods pods with connections, and counts where each ended: a process of its own.

    python flooding.py PID... -- PID...

Each line of input is answered with what was counted since the last one, a line of JSON, one object
for each group of pods. A connection goes to an address of the pod and a port on which the
application listens; the rules send it to a proxy's port instead. `captured`: a proxy got it.
`escaped`: the application did. `failed`: nobody did.
"""

import json
import os
import select
import socket
import struct
import sys
from dataclasses import asdict, dataclass, field
from typing import Final

from kernel.pods import ADDRESS
from tampering import enter_file

PROXY_PORTS: Final = (15001, 15002)
_APPLICATION: Final = 9999
_PATIENCE: Final = 1.0
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Counts:
    """Where connections ended."""

    captured: int = 0
    escaped: int = 0
    failed: int = 0


@dataclass(slots=True)
class _Target:
    namespace: int
    proxies: list[socket.socket]
    application: socket.socket


@dataclass(slots=True)
class _Group:
    targets: list[_Target]
    counts: Counts = field(default_factory=Counts)

    def flood(self) -> None:
        """Connect to each pod once."""
        for target in self.targets:
            self._connect(target)

    def _connect(self, target: _Target) -> None:
        enter_file(target.namespace)
        with socket.socket() as client:
            client.settimeout(_PATIENCE)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            try:
                client.connect((ADDRESS, _APPLICATION))
            except OSError:
                self.counts.failed += 1
                return
            # Over loopback the server's end is there as soon as the client's is.
            if any(_accepted(proxy) for proxy in target.proxies):
                self.counts.captured += 1
            elif _accepted(target.application):
                self.counts.escaped += 1
            else:
                self.counts.failed += 1


def main() -> None:
    """Flood until the input ends."""
    split = sys.argv.index("--")
    groups = [
        _Group([_target(pid) for pid in pids])
        for pids in (sys.argv[1:split], sys.argv[split + 1 :])
    ]
    while True:
        for group in groups:
            group.flood()
        if select.select([sys.stdin], [], [], 0)[0]:
            if not sys.stdin.readline():
                return
            print(json.dumps([asdict(group.counts) for group in groups]), flush=True)
            for group in groups:
                group.counts = Counts()


def _target(pid: str) -> _Target:
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    enter_file(namespace)
    return _Target(namespace, [_listener(port) for port in PROXY_PORTS], _listener(_APPLICATION))


def _listener(port: int) -> socket.socket:
    listener = socket.create_server(("", port), backlog=64)
    listener.settimeout(0)
    return listener


def _accepted(listener: socket.socket) -> bool:
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        return False
    connection.close()
    return True


if __name__ == "__main__":
    main()
