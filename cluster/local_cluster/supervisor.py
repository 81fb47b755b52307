"""The node's PID 1: starts the parts, reaps every orphan, and says which part died.

Once the node runs, it restarts what a service manager or a kubelet would, so that tests can kill
them: containerd, the kubelet, the API server. Everything else that dies is a finding. What it knows
is in `parts.json` for `status`, and in `node.log` for people.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from local_cluster.errors import LocalClusterError
from local_cluster.parts import Part
from local_cluster.progress import say

POLL_SECONDS = 0.05


@dataclass(slots=True)
class Supervisor:
    """Holds the running parts by PID.

    `logs` is the folder of the parts' logs, `report` the file of what is known about them.
    """

    logs: Path
    report: Path
    running: dict[int, Part] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    phase: str = "starting"

    def start(self, part: Part) -> int:
        """Start a part with its output going to its log, and return its PID."""
        log = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(self.logs / f"{part.name}.log"), log, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        pid = os.posix_spawnp(
            part.argv[0], part.argv, os.environ, file_actions=actions, setsid=True
        )
        say(f"{part.name} started, PID {pid}")
        self.running[pid] = part
        self._write_report()
        return pid

    def run_to_end(self, part: Part) -> None:
        """Run a part that does one thing and ends.

        Raises:
            LocalClusterError: it failed.
        """
        pid = self.start(part)
        while pid in self.running:
            self._reap(0)
        if (ending := self.ended.pop(part.name)) != "exit status 0":
            raise LocalClusterError(f"{part.name} ended with {ending}: see its log")
        self._write_report()

    def wait_for(self, what: str, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until a condition holds.

        Raises:
            LocalClusterError: a part ended first, or the time is over.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            self._reap(os.WNOHANG)
            if self.ended:
                raise LocalClusterError(f"{', '.join(self.ended)} ended while waiting for {what}")
            if time.monotonic() > deadline:
                raise LocalClusterError(f"waited {seconds:.0f} s for {what}")
            time.sleep(POLL_SECONDS)
        say(f"{what}: there")

    def watch(self) -> NoReturn:
        """Reap until the node is killed from outside."""
        self.phase = "running"
        self._write_report()
        while True:
            self._reap(0)
            if not self.running:
                time.sleep(POLL_SECONDS)

    def _reap(self, options: int) -> None:
        try:
            pid, status = os.waitpid(-1, options)
        except ChildProcessError:
            return
        part = self.running.pop(pid, None)
        if part is None:
            return
        self.ended[part.name] = ending(status)
        say(f"{part.name} ended: {self.ended[part.name]}")
        self._write_report()
        if part.restarts and self.phase == "running":
            del self.ended[part.name]
            self.start(part)

    def _write_report(self) -> None:
        parts = {part.name: {"pid": pid} for pid, part in self.running.items()}
        ended = {name: {"ended": how} for name, how in self.ended.items()}
        draft = self.report.with_suffix(".new")
        draft.write_text(json.dumps({"phase": self.phase, "parts": {**parts, **ended}}))
        draft.replace(self.report)


def ending(status: int) -> str:
    """Say how a process ended, from its wait status."""
    code = os.waitstatus_to_exitcode(status)
    return f"exit status {code}" if code >= 0 else f"signal {-code}"
