"""IP families, as the kernel keeps a nat table for each."""

from enum import Enum


class Family(Enum):
    """One of the two nat tables of a network namespace; the value is the IP version."""

    IPV4 = 4
    IPV6 = 6

    __hash__ = object.__hash__  # Enum's is a Python function, and most of our mappings are by this

    @property
    def loopback(self) -> str:
        """The loopback address as a CIDR: only 127.0.0.1, the rest of 127/8 is not meant."""
        return "127.0.0.1/32" if self is Family.IPV4 else "::1/128"
