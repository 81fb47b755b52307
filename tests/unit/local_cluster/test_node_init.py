"""A node other than the first ends with the first, however that ends."""

import os
import signal
import subprocess
import sys

import pytest

PROGRAM = """
import signal
from local_cluster.node_init import end_with
end_with({descriptor})
print("there", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_node_ends_with_its_leader(how: signal.Signals) -> None:
    """Nothing has to tell it."""
    leader = subprocess.Popen(["sleep", "60"])
    descriptor = os.pidfd_open(leader.pid)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(descriptor=descriptor)],
        stdout=subprocess.PIPE,
        pass_fds=[descriptor],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as node:
        os.close(descriptor)
        assert node.stdout is not None
        assert node.stdout.readline() == b"there\n"
        assert node.poll() is None

        leader.send_signal(how)

        assert node.wait(30) == 1
    leader.wait()
