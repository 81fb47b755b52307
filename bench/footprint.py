"""What an agent takes with 110 quiet pods, against a loop of `iptables-save` over them."""

import asyncio
import os
import socket
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import programs
from figures import AtMost, Figure
from kernel.pods import Pod
from stand_in_node import StandInNode, stand_in_node
from tampering import enter
from timing import run, took

QUIET = 20.0
"""Seconds until the agent has written its last status, and every pod has had its second look."""
MEASURED = 60.0
INTERVAL = 10.0
"""Seconds between two looks at a quiet pod."""

_TICK = os.sysconf("SC_CLK_TCK")


async def measure() -> list[Figure]:
    """Measure memory and idle CPU of the agent, its zygote and its brokers."""
    async with stand_in_node() as node:
        with _proxies(node.pods):
            return await _measured(node)


async def _measured(node: StandInNode) -> list[Figure]:
    await asyncio.sleep(QUIET)
    before, began = _cpu_seconds(node.agent.pid), time.monotonic()
    await asyncio.sleep(MEASURED)
    busy = (_cpu_seconds(node.agent.pid) - before) / (time.monotonic() - began)
    return [_idle(busy, node), *_memory(node)]


@contextmanager
def _proxies(pods: Iterable[Pod]) -> Iterator[None]:
    """Listen in each pod where its traffic is sent; else the agent looks for that oftener."""
    with ThreadPoolExecutor(1) as thread:  # it enters one pod after the other, and ends
        listeners = [thread.submit(_listener, pod).result() for pod in pods]
    try:
        yield
    finally:
        for listener in listeners:
            listener.close()


def _listener(pod: Pod) -> socket.socket:
    enter(pod.pid)
    return socket.create_server(("", programs.PORT))


def _idle(busy: float, node: StandInNode) -> Figure:
    polled = took(lambda: _save_all(node.pods)).cpu / INTERVAL
    return Figure(
        name="idle-cpu",
        what=f"CPU of the agent, zygote and brokers with {len(node.pods)} quiet pods",
        ours=busy * 100,
        reference=polled * 100,
        compared_with=f"nsenter + iptables-nft-save in each pod every {INTERVAL:.0f} s",
        unit="% of a core",
        goal=AtMost(0.2),
    )


def _memory(node: StandInNode) -> Iterator[Figure]:
    processes = list(_family(node.agent.pid))
    rss = sum(_kilobytes(pid, "Rss") for pid in processes) / 1024
    pss = sum(_kilobytes(pid, "Pss") for pid in processes) / 1024
    count = len(node.pods)
    yield Figure(
        name="memory",
        what=f"RSS of the agent, {count} pods",
        ours=_kilobytes(node.agent.pid, "Rss") / 1024,
        reference=None,
        compared_with="",
        unit="MB",
        goal=AtMost(64),
        details={
            f"RSS of its {len(processes)} processes together": rss,
            f"PSS of its {len(processes)} processes together": pss,
        },
    )


def _save_all(pods: tuple[Pod, ...]) -> None:
    for pod in pods:
        run(["nsenter", "-t", str(pod.pid), "-n", "iptables-nft-save", "-t", "nat"])


def _family(pid: int) -> Iterator[int]:
    """The process and all that came of it."""
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
        yield from _family(int(child))


def _cpu_seconds(pid: int) -> float:
    stats = (Path(f"/proc/{each}/stat").read_text() for each in _family(pid))
    fields = (stat.rpartition(")")[2].split() for stat in stats)
    # Field 14 of the whole is the 12th after the comm.
    return sum(int(value) for each in fields for value in each[11:15]) / _TICK


def _kilobytes(pid: int, what: str) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:"))
