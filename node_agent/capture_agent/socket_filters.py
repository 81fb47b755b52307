"""Filters by which the kernel drops what a socket need not be woken for: classic BPF programs.

The layout is that of `struct sock_filter` and `struct sock_fprog` in linux/filter.h. A filter loads
in network order what the header of a netlink message has in that of the machine.
"""

import ctypes
import socket
import struct
from typing import Final

LOAD_WORD: Final = 0x20
LOAD_HALF: Final = 0x28
JUMP_IF_EQUAL: Final = 0x15
RETURN: Final = 0x06
WHOLE: Final = 0xFFFFFFFF
"""Returned for a message that passes; 0 drops it."""

_SO_ATTACH_FILTER: Final = 26
_INSTRUCTION: Final = struct.Struct("=HBBI")


def program_of(*instructions: tuple[int, int, int, int]) -> bytes:
    """Encode a program.

    Each instruction is its code, the instructions to skip if it is true, those if not, and `k`.
    """
    return b"".join(_INSTRUCTION.pack(*each) for each in instructions)


def attach_filter(sock: socket.socket, program: bytes) -> None:
    """Have a socket receive only what a program passes, in place of one that it has."""
    buffer = ctypes.create_string_buffer(program, len(program))
    count = len(program) // _INSTRUCTION.size
    attached = struct.pack("@HP", count, ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)


def as_loaded(number: int) -> int:
    """Give a number of two bytes in the order of the machine as LOAD_HALF has it."""
    (loaded,) = struct.unpack(">H", struct.pack("=H", number))
    return int(loaded)
