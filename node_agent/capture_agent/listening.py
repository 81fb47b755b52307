"""Whether anybody listens where the redirected connections go. Pure.

REDIRECT sends what comes in to the address of the interface it came in by, and what the pod itself
sends to 127.0.0.1.
"""

from collections.abc import Iterable

from capture_agent.broker_protocol import Listener
from capture_api.programs import Program

_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to
_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})


def ports_not_listening(
    program: Program, listeners: Iterable[Listener], pod_ips: Iterable[str]
) -> tuple[int, ...]:
    """List the redirect ports of a program on which no connection would be accepted."""
    pod_addresses = _EVERY_ADDRESS.union(pod_ips)
    local_addresses = _EVERY_ADDRESS | _LOOPBACK
    listening = {(listener.address, listener.port) for listener in listeners}
    needed = (
        (program.inbound, pod_addresses),
        (program.outbound, local_addresses),
    )
    return tuple(
        sorted(
            {
                direction.redirect_port
                for direction, addresses in needed
                if direction is not None
                and not any(
                    (address, direction.redirect_port) in listening for address in addresses
                )
            }
        )
    )
