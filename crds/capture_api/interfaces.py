"""Network interfaces as users name them."""

import re
from typing import Final, Self

_FORM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}", re.ASCII)
"""Less than the kernel allows: nothing that iptables reads otherwise, such as `eth+` or `!`."""


class InterfaceName:
    """The whole name of an interface, e.g. `eth0`; a string on the wire (see `NumberRange`)."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name: Final = name

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the name of one interface.

        Raises:
            ValueError: no interface that can be matched has this name; the message says what to
                write.
        """
        if not _FORM.fullmatch(text):
            raise ValueError(
                f"{text!r} is not the name of an interface, e.g. eth0: 1-15 characters A-Z, a-z, "
                "0-9, _, . and -, beginning with a letter, a digit or _"
            )
        return cls(text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InterfaceName) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"InterfaceName({self.name!r})"
