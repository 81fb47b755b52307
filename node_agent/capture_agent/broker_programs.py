"""Programs that the broker runs inside a pod's network namespace.

Each is in the broker's process group, which the zygote kills as a whole. For a pod with a user
namespace of its own it joins that as well: the kernel refuses a rule that names users (`-m owner`)
from a sender in another user namespace than the network namespace's.
"""

import errno
import os
import signal
import subprocess
from functools import partial
from typing import BinaryIO, Final

from capture_agent.broker_protocol import MAX_OUTPUT, Execute, Executed
from capture_agent.user_namespaces import become_root_of

PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for."""
_ENVIRONMENT: Final = {"PATH": PATH, "LC_ALL": "C"}


def execute(step: Execute, user_namespace: int | None) -> Executed:
    """Run a program in the network namespace that this thread is in.

    Raises:
        OSError: it could not be run, or printed more than `MAX_OUTPUT`.
        subprocess.SubprocessError: it took longer than its step allows, or could not join the user
            namespace.
    """
    # Into memory files, whose size the broker's RLIMIT_FSIZE bounds: a pipe would be read to its
    # end, however much came.
    with _memory_file("stdout") as stdout, _memory_file("stderr") as stderr:
        done = subprocess.run(
            step.argv,
            input=step.stdin.encode(),
            stdout=stdout,
            stderr=stderr,
            check=False,
            timeout=step.timeout,
            env=_ENVIRONMENT,
            # Only where it must be: a fork that runs Python costs 4 ms more than one that does not.
            preexec_fn=None if user_namespace is None else partial(become_root_of, user_namespace),
        )
        if done.returncode == -signal.SIGXFSZ:
            raise OSError(errno.EFBIG, f"{step.argv[0]} printed more than {MAX_OUTPUT} bytes")
        return Executed(done.returncode, _text(stdout), _text(stderr))


def _memory_file(name: str) -> BinaryIO:
    return open(os.memfd_create(name), "w+b", buffering=0)  # noqa: PTH123 - no path


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
