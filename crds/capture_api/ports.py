"""TCP and UDP ports as users write them: `"80"` or a range `"8000-8100"`."""

from typing import Annotated, ClassVar

import msgspec

from capture_api.ranges import NumberRange

_MAX_PORT = 65535

Port = Annotated[int, msgspec.Meta(ge=1, le=_MAX_PORT)]
"""One port; the bounds hold for what is decoded."""


class PortRange(NumberRange):
    """One port or some in a row."""

    __slots__ = ()
    BOUNDS: ClassVar = (1, _MAX_PORT)
    WHAT: ClassVar = "a port"
