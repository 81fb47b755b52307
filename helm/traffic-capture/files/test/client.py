"""Connects to where nobody is, until the proxy in this pod answers instead."""

import os
import socket
import sys
import time

PATIENCE = 60.0
# Addresses for documentation (RFC 5737, RFC 3849): no network has them.
NOBODY = "2001:db8::1" if ":" in os.environ["POD_IP"] else "192.0.2.1"


def answer() -> str:
    """Connect, and read what is said; what went wrong counts as an answer."""
    try:
        with socket.create_connection((NOBODY, 80), timeout=2) as connection:
            return connection.recv(100).decode()
    except OSError as error:
        return f"no connection: {error}"


deadline = time.monotonic() + PATIENCE
while (said := answer()) != f"{NOBODY} port 80" and time.monotonic() < deadline:
    time.sleep(0.5)
if said == f"{NOBODY} port 80":
    print(f"redirected: a connection to {said} reached the proxy in this pod")  # noqa: T201
else:
    sys.exit(
        f"not redirected within {PATIENCE:.0f} s: a connection to {NOBODY} port 80 ended with: "
        f"{said}; see what the TrafficCapture in this namespace, and the node agents, say"
    )
