"""The last check before a program becomes rules: what its types alone do not promise."""

from capture_api.programs import Loopback, Program
from capture_api.resolution import InvalidSpecError, check_chain_prefix
from capture_nat.errors import NatError


class UnenforceableProgramError(NatError):
    """A program that no rules can be written for; names the field, the value and the remedy."""


def check_enforceable(program: Program) -> None:
    """Check the prefix, the only text that goes into rules, and that no step lacks its port.

    Raises:
        UnenforceableProgramError: the program did not come from `capture_api.resolution.resolve`,
            or was damaged on its way.
    """
    try:
        check_chain_prefix(program.chain_prefix)
    except InvalidSpecError as error:
        raise UnenforceableProgramError(str(error)) from error
    outbound = program.outbound
    if outbound and outbound.loopback is Loopback.INBOUND and program.inbound is None:
        raise UnenforceableProgramError(
            "program.outbound.loopback: Inbound needs program.inbound; add it or choose Bypass"
        )
