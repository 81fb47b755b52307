"""Opens TCP connections to one destination without a pause, and says which reached it.

Run in a pod's network namespace, with addresses and ports of the destination and the proxies:
`flood.py 192.0.2.1 80 15001 15002`; an IPv6 address makes it a flood of that family. It begins with
a line, and ends with its counts when its input does: connections that reached a proxy, that reached
the destination itself, that failed.
"""

import contextlib
import select
import socket
import struct
import sys

_BACKLOG = 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # no TIME_WAIT: there are 28,000 ports to go round


def _listener(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    listener = socket.create_server((address, port), family=family, backlog=_BACKLOG)
    listener.settimeout(0)
    return listener


def _accepted(listeners: list[socket.socket]) -> int:
    """Take the connections that came; how many."""
    count = 0
    for listener in listeners:
        with contextlib.suppress(BlockingIOError):
            while True:
                listener.accept()[0].close()
                count += 1
    return count


def flood(address: str, port: int, proxy_ports: list[int]) -> tuple[int, int, int]:
    """Connect until the input ends."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    destination = [_listener(family, address, port)]
    proxies = [_listener(family, "", each) for each in proxy_ports]
    captured = escaped = failed = 0
    print("flooding", flush=True)  # noqa: T201 - the protocol
    while not select.select([sys.stdin], [], [], 0)[0]:
        with socket.socket(family) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            connection.settimeout(5)
            try:
                connection.connect((address, port))
            except OSError:
                failed += 1
                continue
            captured += _accepted(proxies)
            escaped += _accepted(destination)
    return captured, escaped, failed


if __name__ == "__main__":
    _, address, port, *proxy_ports = sys.argv
    print(*flood(address, int(port), [int(each) for each in proxy_ports]))  # noqa: T201
