"""Has the connections of a pod end that began before its capture: see `reset_flows`."""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from capture_agent.broker_client import Broker
from capture_agent.broker_protocol import Execute, Executed
from capture_agent.sandboxes import Sandbox
from capture_api.programs import Program
from capture_api.wire import encode

Reset = Callable[[Sandbox, Program], Awaitable[None]]
"""Ends the connections of a sandbox that a program would redirect; raises as `FlowResetter`."""

TIMEOUT: Final = 30.0
"""Seconds for an interpreter to start on a busy node, and for thousands of connections."""
_ARGV: Final = (sys.executable, "-I", "-m", "capture_agent.reset_flows")


@dataclass(frozen=True, slots=True)
class FlowResetter:
    """Runs the program that ends them through `broker`."""

    broker: Broker

    async def reset(self, sandbox: Sandbox, program: Program) -> None:
        """End the connections of a sandbox that the program would redirect.

        Raises:
            SandboxRefusedError: the broker did not enter it.
            BrokerLostError: the broker died or hung.
            OSError: some could not be ended.
        """
        stdin = msgspec.json.encode(encode(program)).decode()
        step = Execute(_ARGV, stdin=stdin, timeout=TIMEOUT)
        (result,) = await self.broker.run(sandbox, step)
        if not isinstance(result, Executed) or result.returncode:
            raise OSError(_last_line(result.stderr) if isinstance(result, Executed) else "")


def _last_line(stderr: str) -> str:
    """Of a traceback, the line that says what was wrong."""
    return (stderr.strip().splitlines() or ["it said nothing"])[-1]
