"""Who sends a packet, as users write it: numeric user and group ids."""

from typing import Annotated, ClassVar

import msgspec

from capture_api.ranges import NumberRange

_MAX_ID = 2**32 - 2
"""2**32 - 1 is the kernel's "none"."""

NumericId = Annotated[int, msgspec.Meta(ge=0, le=_MAX_ID)]
"""A user or group id."""


class IdRange(NumberRange):
    """One id, `"0"`, or some in a row, `"1000-2000"`."""

    __slots__ = ()
    BOUNDS: ClassVar = (0, _MAX_ID)
    WHAT: ClassVar = "a numeric id"
