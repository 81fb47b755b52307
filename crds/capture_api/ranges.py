"""Ranges of numbers as users write them: `"80"`, or `"8000-8100"` with both ends included."""

import re
from typing import ClassVar, Final, Self

_FORM = re.compile(r"(0|[1-9][0-9]{0,9})(?:-(0|[1-9][0-9]{0,9}))?", re.ASCII)


class NumberRange:
    """The numbers from `first` to `last`, both included; a single one has `first == last`.

    Not a dataclass: msgspec would read one as a JSON object, and this is a string on the wire.
    """

    __slots__ = ("first", "last")
    BOUNDS: ClassVar[tuple[int, int]]
    WHAT: ClassVar[str]

    def __init__(self, first: int, last: int) -> None:
        self.first: Final = first
        self.last: Final = last
        least, most = self.BOUNDS
        if not least <= first <= last <= most:
            raise self._invalid(str(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one number or a range.

        Raises:
            ValueError: the text is neither; the message says what to write.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise cls._invalid(text)
        first, last = match.groups()
        return cls(int(first), int(last or first))

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash((self.first, self.last))

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.first}, {self.last})"

    @classmethod
    def _invalid(cls, text: str) -> ValueError:
        least, most = cls.BOUNDS
        return ValueError(
            f"{text!r} is not {cls.WHAT} ({least}-{most}) or a range first-last with first <= last"
        )
