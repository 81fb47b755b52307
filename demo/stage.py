"""Runs the demo's commands in front of the audience: prints each as it is typed, and its output."""

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PATIENCE = 60.0
"""Seconds for anything that the demo waits for."""


class DemoError(Exception):
    """Something did not happen that should have; the message says what to look at."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A cluster, and the namespace in which the demo plays."""

    kubectl: Path
    kubeconfig: Path
    namespace: str

    def tell(self, text: str) -> None:
        """Print what comes next."""
        print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)

    def show(self, *arguments: str) -> str:
        """Run a kubectl command in the demo's namespace, with the command and its output printed.

        Raises:
            DemoError: it failed.
        """
        print(f"$ kubectl {shlex.join(arguments)}", flush=True)
        output = self.ask(*arguments)
        print(output, end="", flush=True)
        return output

    def ask(self, *arguments: str) -> str:
        """Run a kubectl command in the demo's namespace and return its output.

        Raises:
            DemoError: it failed.
        """
        done = self._run(arguments)
        if done.returncode != 0:
            raise DemoError(f"kubectl {shlex.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def attempt(self, *arguments: str) -> bool:
        """Run a kubectl command whose failure is no surprise; tell whether it worked."""
        return self._run(arguments).returncode == 0

    def wait_until(self, what: str, is_so: Callable[[], bool]) -> None:
        """Wait for something that becomes so by itself.

        Raises:
            DemoError: it did not, within a minute.
        """
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            if time.monotonic() > deadline:
                raise DemoError(f"{what}: not so after {PATIENCE:.0f} s")
            time.sleep(0.2)

    def _run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        place = ["--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace]
        return subprocess.run(
            [self.kubectl, *place, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=HERE,
        )
