"""The real agent in a process of its own, with its zygote and its brokers."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kernel import agent_process


@contextmanager
def running_agent(api: str, state: Path, nri_socket: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the agent for the block.

    Args:
        api: URL of its API server.
        state: an existing directory, for what outlives an agent.
        nri_socket: where it finds a container runtime, if there is one.
    """
    arguments = (api, str(state), str(nri_socket))
    argv = [sys.executable, str(Path(agent_process.__file__)), *arguments]
    with subprocess.Popen(argv) as agent:
        try:
            yield agent
        finally:
            agent.kill()
