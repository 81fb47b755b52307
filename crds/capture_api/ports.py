"""TCP and UDP ports as users write them: `"80"` or a range `"8000-8100"`."""

import re
from typing import Annotated, Final, Self

import msgspec

_PORTS = re.compile(r"([1-9][0-9]{0,4})(?:-([1-9][0-9]{0,4}))?", re.ASCII)
_MAX_PORT = 65535

Port = Annotated[int, msgspec.Meta(ge=1, le=_MAX_PORT)]
"""One port; the bounds hold for what is decoded."""


class PortRange:
    """The ports from `first` to `last`, both included; a single port has `first == last`.

    Not a dataclass: msgspec would read one as a JSON object, and this is a string on the wire.
    """

    __slots__ = ("first", "last")

    def __init__(self, first: int, last: int) -> None:
        self.first: Final = first
        self.last: Final = last
        if not 1 <= first <= last <= _MAX_PORT:
            raise _invalid(str(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `"80"` or `"8000-8100"`.

        Raises:
            ValueError: the text is neither; the message says what to write.
        """
        match = _PORTS.fullmatch(text)
        if match is None:
            raise _invalid(text)
        first, last = match.groups()
        return cls(int(first), int(last or first))

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PortRange) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash((self.first, self.last))

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def __repr__(self) -> str:
        return f"PortRange({self.first}, {self.last})"


def _invalid(text: str) -> ValueError:
    return ValueError(f"{text!r} is not a port (1-65535) or a range first-last with first <= last")
