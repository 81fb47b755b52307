"""Programs that the broker runs inside a pod's network namespace.

Each is a child with a life no longer than the broker's. For a pod with a user namespace of its own
it joins that as well: the kernel refuses a rule that names users (`-m owner`) from a sender in
another user namespace than the network namespace's.
"""

import contextlib
import errno
import os
import signal
import subprocess
from functools import partial
from typing import BinaryIO, Final

from capture_agent.broker_protocol import MAX_OUTPUT, Execute, Executed
from capture_agent.linux_calls import CLONE_NEWUSER, die_with, setns

_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_ROOT: Final = 0


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
            preexec_fn=partial(_prepare, os.getpid(), user_namespace),
        )
        if done.returncode == -signal.SIGXFSZ:
            raise OSError(errno.EFBIG, f"{step.argv[0]} printed more than {MAX_OUTPUT} bytes")
        return Executed(done.returncode, _text(stdout), _text(stderr))


def _prepare(broker: int, user_namespace: int | None) -> None:
    """Between fork and exec."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if user_namespace is not None:
        _become_root_of(user_namespace)
    die_with(broker)  # last: the kernel forgets it when credentials change


def _become_root_of(user_namespace: int) -> None:
    setns(user_namespace, CLONE_NEWUSER)
    with contextlib.suppress(PermissionError):  # a namespace may be set up without it
        os.setgroups([])
    # Whoever is not root there loses the namespace's capabilities with exec.
    os.setresgid(_ROOT, _ROOT, _ROOT)
    os.setresuid(_ROOT, _ROOT, _ROOT)


def _memory_file(name: str) -> BinaryIO:
    return open(os.memfd_create(name), "w+b", buffering=0)  # noqa: PTH123 - no path


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
