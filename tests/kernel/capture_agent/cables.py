"""A cable between two pods, whose end tells that the other namespace was freed."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from kernel.pods import Pod

WATCH_CABLE = """
import socket, struct
with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as links:
    links.bind((0, 1))  # RTMGRP_LINK
    links.settimeout(60)
    print("watching", flush=True)
    message = b""
    while not (b"cable\\0" in message and struct.unpack_from("=IH", message)[1] == 17):  # DELLINK
        message = links.recv(65536)
"""


@contextlib.contextmanager
def cable_to_be_gone(pod: Pod) -> Iterator[None]:
    """Wait at the end of the block until the pod's end of the cable has gone."""
    argv = ["nsenter", "-t", str(pod.pid), "-n", sys.executable, "-c", WATCH_CABLE]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout
        assert watcher.stdout.readline() == "watching\n"
        yield
        assert watcher.wait() == 0
