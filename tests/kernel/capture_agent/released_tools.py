"""The tools of one release of iptables: as others use them in a pod, and as a broker runs them."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from capture_agent.broker_client import Broker
from capture_agent.broker_protocol import Execute, Step, StepResult
from capture_agent.sandboxes import Sandbox
from capture_agent.zygote_client import Zygote
from capture_nat.families import Family
from kernel.pods import Pod


@dataclass(frozen=True, slots=True)
class ReleasedTools:
    """The `iptables-nft` of a folder, or its `ip6tables-nft`, in a pod's network namespace."""

    folder: Path
    pod: Pod
    family: Family

    def nat(self, *arguments: str) -> list[str]:
        """Run `iptables -t nat ...`; the lines that it prints."""
        return self._run("", "-t", "nat", *arguments).splitlines()

    def save(self) -> str:
        """Run `iptables-save -t nat`."""
        return self._run("-save", "-t", "nat")

    def restore(self, table: str, *options: str) -> None:
        """Run `iptables-restore`."""
        self._run("-restore", *options, stdin=table)

    def _run(self, suffix: str, *arguments: str, stdin: str = "") -> str:
        command = "iptables" if self.family is Family.IPV4 else "ip6tables"
        tool = self.folder / f"{command}-nft{suffix}"
        done = subprocess.run(
            ["nsenter", "-t", str(self.pod.pid), "-n", tool, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), f"{tool.name} {arguments}: {done}"
        return done.stdout


class ReleaseBroker(Broker):
    """A broker for which the tools of a folder are those of the image."""

    def __init__(self, zygote: Zygote, folder: Path) -> None:
        super().__init__(zygote)
        self._folder = folder

    async def run(self, sandbox: Sandbox, *steps: Step) -> tuple[StepResult, ...]:
        """See `Broker`."""
        return await super().run(sandbox, *map(self._with_tool, steps))

    def _with_tool(self, step: Step) -> Step:
        if not isinstance(step, Execute) or not (self._folder / step.argv[0]).exists():
            return step
        return replace(step, argv=(str(self._folder / step.argv[0]), *step.argv[1:]))
