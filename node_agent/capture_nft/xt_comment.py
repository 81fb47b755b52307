"""`-m comment`: a text that somebody put on a rule; matches everything."""

import re
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from capture_nft.attributes import text
from capture_nft.expressions import Expression, XtMatch

_SIZE: Final = 256
_PLAIN: Final = re.compile(r"[-_0-9A-Za-z]+")
_ESCAPED: Final = re.compile(r"([\"\\'])")


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment, from an xt match or from the rule's user data: iptables prints them alike."""

    NAME: ClassVar = "comment"
    REVISION: ClassVar = 0
    text: str

    def expressions(self) -> tuple[Expression, ...]:
        """As iptables 1.8.9 sends it."""
        info = self.text.encode()[: _SIZE - 1].ljust(_SIZE, b"\0")
        return (XtMatch(self.NAME, self.REVISION, info),)

    @classmethod
    def of(cls, info: bytes) -> Self:
        """Read what the kernel holds; iptables prints no more than 255 bytes of it."""
        return cls(text(info[: _SIZE - 1]))

    def words(self) -> str:
        """As `iptables-save` prints it, quoted by xtables_save_string()."""
        if _PLAIN.fullmatch(self.text):
            return f"-m comment --comment {self.text}"
        escaped = _ESCAPED.sub(r"\\\1", self.text)
        return f'-m comment --comment "{escaped}"'
