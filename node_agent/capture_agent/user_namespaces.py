"""Joining the user namespace of a pod that has its own (`hostUsers: false`). For children alone.

There is no way back, so a broker forks first.
"""

import contextlib
import os
from typing import Final

from capture_agent.linux_calls import CLONE_NEWUSER, setns

_ROOT: Final = 0


def become_root_of(user_namespace: int) -> None:
    """Be root of the user namespace that a descriptor stands for, and nobody elsewhere.

    Raises:
        OSError: it can't be joined.
    """
    setns(user_namespace, CLONE_NEWUSER)
    with contextlib.suppress(PermissionError):  # a namespace may be set up without it
        os.setgroups([])
    # Whoever is not root there loses the namespace's capabilities with exec.
    os.setresgid(_ROOT, _ROOT, _ROOT)
    os.setresuid(_ROOT, _ROOT, _ROOT)
