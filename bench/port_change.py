"""A port changed in 110 live pods while connections pour in, against re-running the tools.

Two tools: `iptables-nft-restore`, which replaces the chains in one transaction, for the time; and
the same after a flush, as init containers re-run do, which must lose connections: else nothing is
proved by our losing none. They change 110 pods that nobody watches, in the same flood.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import flooding
import programs
from figures import AtMost, Figure
from flooding import PROXY_PORTS, Counts
from kernel.pods import Pod
from stand_in_node import stand_in_node, started_pods
from timing import median, run, stopwatch

ROUNDS = 3


async def measure() -> list[Figure]:
    """Measure the time, and the connections that went astray meanwhile."""
    ours: list[float] = []
    tool: list[float] = []
    kept, lost = Counts(), Counts()
    with started_pods() as others, tempfile.TemporaryDirectory() as directory:
        files = [_restored(Path(directory), port) for port in PROXY_PORTS]
        _rerun(others, files[0])
        async with stand_in_node() as node:
            with _flooding(node.pods, others) as flood:
                for turn in range(ROUNDS):
                    port = (turn + 1) % len(PROXY_PORTS)
                    _counted(flood)
                    ours.append(await node.program(programs.program(port=PROXY_PORTS[port])))
                    _add(kept, _counted(flood)[0])
                    with stopwatch() as watch:
                        _rerun(others, files[port])
                    tool.append(watch.took.wall)
                    _counted(flood)
                    _flush_and_rerun(others, files[port])
                    _add(lost, _counted(flood)[1])
            pods = len(node.pods)
    return [
        Figure(
            name="port-change",
            what=f"a port changed in {pods} pods under a flood, all read back and counted",
            ours=median(ours),
            reference=median(tool),
            compared_with="a loop of nsenter + iptables-nft-restore, told which pods",
            unit="s",
        ),
        Figure(
            name="port-change-lost",
            what="connections that escaped or failed meanwhile",
            ours=kept.escaped + kept.failed,
            reference=lost.escaped + lost.failed,
            compared_with="the loop, flushing first: a control that must lose some",
            unit="connections",
            goal=AtMost(0),
            details={"ours captured": kept.captured, "reference captured": lost.captured},
        ),
    ]


def _restored(directory: Path, port: int) -> Path:
    path = directory / str(port)
    path.write_text(programs.restored(port=port))
    return path


def _rerun(pods: tuple[Pod, ...], rules: Path) -> None:
    for pod in pods:
        _in(pod, "iptables-nft-restore", stdin=rules)


def _flush_and_rerun(pods: tuple[Pod, ...], rules: Path) -> None:
    for pod in pods:
        _in(pod, "iptables-nft", "-t", "nat", "-F")
        _in(pod, "iptables-nft-restore", stdin=rules)


def _in(pod: Pod, *argv: str, stdin: Path = Path(os.devnull)) -> None:
    run(["nsenter", "-t", str(pod.pid), "-n", *argv], str(stdin))


@contextmanager
def _flooding(pods: tuple[Pod, ...], others: tuple[Pod, ...]) -> Iterator[subprocess.Popen[str]]:
    groups = [*(str(pod.pid) for pod in pods), "--", *(str(pod.pid) for pod in others)]
    with subprocess.Popen(
        [sys.executable, flooding.__file__, *groups],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as flood:
        yield flood


def _counted(flood: subprocess.Popen[str]) -> list[Counts]:
    """What was counted since the last time."""
    if flood.stdin is None or flood.stdout is None:
        raise RuntimeError("the flood has no pipes")
    flood.stdin.write("\n")
    flood.stdin.flush()
    return [Counts(**each) for each in json.loads(flood.stdout.readline())]


def _add(total: Counts, more: Counts) -> None:
    total.captured += more.captured
    total.escaped += more.escaped
    total.failed += more.failed
