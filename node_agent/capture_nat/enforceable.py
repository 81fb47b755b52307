"""The last check before values become rules: a program may come from anywhere."""

from collections.abc import Iterable
from typing import Final

from capture_api.programs import Loopback, Program
from capture_api.resolution import InvalidSpecError, check_chain_prefix
from capture_nat.errors import NatError

_PORTS: Final = range(1, 65536)
_IDS: Final = range(0xFFFFFFFF)
"""User and group ids; the kernel keeps the last 32-bit value for "none"."""


class UnenforceableProgramError(NatError):
    """A program that no rules can be written for; names the field, the value and the remedy."""


def check_enforceable(program: Program) -> None:
    """Check what the rules rely on.

    Raises:
        UnenforceableProgramError: the program did not come from `capture_api.resolution.resolve`,
            or was damaged on its way.
    """
    _check_prefix(program.chain_prefix)
    _check_range("proxy.uids", program.proxy.uids, _IDS)
    _check_range("proxy.gids", program.proxy.gids, _IDS)
    if program.inbound is not None:
        _check_range("inbound.redirectPort", [program.inbound.redirect_port], _PORTS)
    if program.outbound is not None:
        _check_range("outbound.redirectPort", [program.outbound.redirect_port], _PORTS)
        if program.outbound.loopback is Loopback.INBOUND and program.inbound is None:
            raise UnenforceableProgramError(
                "program.outbound.loopback: Inbound needs program.inbound; add it or choose Bypass"
            )


def _check_prefix(prefix: str) -> None:
    try:
        check_chain_prefix(prefix)
    except InvalidSpecError as error:
        raise UnenforceableProgramError(str(error)) from error


def _check_range(field: str, values: Iterable[int], allowed: range) -> None:
    for value in values:
        if value not in allowed:
            raise UnenforceableProgramError(
                f"program.{field}: {value} is not between {allowed[0]} and {allowed[-1]}"
            )
