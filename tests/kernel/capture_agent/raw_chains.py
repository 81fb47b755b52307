"""Creates an nf_tables chain in `ip nat` with any name and any user data, as no tool would.

Run in a pod's network namespace as `raw_chains.py NAME USERDATA`, both in hexadecimal.
"""

import socket
import struct
import sys

_NEWCHAIN = 10 << 8 | 3  # NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWCHAIN
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_REQUEST, _ACK, _CREATE = 1, 4, 0x400
_TABLE, _NAME, _USERDATA = 1, 3, 12


def _message(kind: int, flags: int, resource: int, payload: bytes = b"") -> bytes:
    body = struct.pack(">BBH", socket.AF_INET, 0, resource) + payload
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def create(name: bytes, userdata: bytes) -> None:
    """Create the chain.

    Raises:
        OSError: the kernel refused.
    """
    chain = (
        _attribute(_TABLE, b"nat\0")
        + _attribute(_NAME, name + b"\0")
        + _attribute(_USERDATA, userdata)
    )
    batch = (
        _message(_BATCH_BEGIN, _REQUEST, 10)
        + _message(_NEWCHAIN, _REQUEST | _ACK | _CREATE, 0, chain)
        + _message(_BATCH_END, _REQUEST, 10)
    )
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as netfilter:
        netfilter.send(batch)
        (error,) = struct.unpack_from("=i", netfilter.recv(4096), 16)
    if error:
        raise OSError(-error, "the kernel refused the chain")


if __name__ == "__main__":
    create(bytes.fromhex(sys.argv[1]), bytes.fromhex(sys.argv[2]))
