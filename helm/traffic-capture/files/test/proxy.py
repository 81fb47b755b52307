"""Answers each connection with the address it was made to, before it was redirected here."""

import ipaddress
import os
import socket
import struct

SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h, and the same number for IPv6


def original_destination(connection: socket.socket) -> str:
    """Ask the kernel's connection tracking."""
    if connection.family == socket.AF_INET6:
        raw = connection.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
        packed = raw[8:24]
    else:
        raw = connection.getsockopt(socket.IPPROTO_IP, SO_ORIGINAL_DST, 16)
        packed = raw[4:8]
    [port] = struct.unpack("!H", raw[2:4])
    return f"{ipaddress.ip_address(packed)} port {port}"


family = socket.AF_INET6 if ":" in os.environ["POD_IP"] else socket.AF_INET
with socket.create_server(("", 15001), family=family) as server:
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(original_destination(connection).encode())
