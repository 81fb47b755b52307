"""What somebody deletes in one of 110 watched pods is put back, against a tool told at once.

The deletion is over a socket in the pod; its end and the repair are seen by the kernel's notice of
each. The reference begins to run in the same moment, in a pod that nobody watches: it has nothing
to notice, and nothing to find out.
"""

import asyncio
import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import programs
from figures import AtMost, Figure
from kernel.pods import Pod, started_pod
from peer_processes import started_peer
from stand_in_node import StandInNode, stand_in_node, started_pods
from tampering import Tamperer, tampering
from timing import median, percentile, run, spread, took

FLOOR_ROUNDS = 3
PAUSE = 0.01
"""Seconds between two deletions, so that one repair does not wait for the other."""

_MILLI = 1e3
_JUMP = "*nat\n-I OUTPUT 1 -p tcp -j ISTIO_OUTPUT\nCOMMIT\n"


@dataclass(frozen=True, slots=True)
class _Kind:
    """One thing that can be deleted, and what a tool would restore."""

    name: str
    what: str
    delete: Callable[[Tamperer], None]
    back: Callable[[Tamperer], float]
    restored: str
    rounds: int
    goal: float


def _kinds() -> list[_Kind]:
    # Five repairs of one pod, seconds apart: before the agent's back-off is longer than those.
    return [
        _Kind(
            "jump",
            "our jump in OUTPUT deleted until it is back",
            Tamperer.delete_jump,
            Tamperer.jump_back,
            _JUMP,
            rounds=3,
            goal=1.0,
        ),
        _Kind(
            "flush",
            "the whole table flushed until all of it is back",
            Tamperer.flush,
            Tamperer.flush_back,
            programs.restored(),
            rounds=2,
            goal=30.0,
        ),
    ]


async def measure() -> list[Figure]:
    """Measure both kinds, p99 in milliseconds."""
    async with stand_in_node() as node:
        figures = [await _figure(node, kind) for kind in _kinds()]
    without = "the same by a process that inserts the jump at any notice, without a look, p99"
    looking = "the same by a process that reads the change's actor and the rules first, p99"
    return [
        *figures,
        await _floor("repair-jump-floor", without),
        await _floor("repair-jump-looking", looking, "--looking"),
    ]


async def _figure(node: StandInNode, kind: _Kind) -> Figure:
    ours: list[float] = []
    tool: list[float] = []
    with (
        started_pod() as unwatched,
        tampering((unwatched,)) as (other,),
        tampering(node.pods) as tamperers,
        tempfile.NamedTemporaryFile("w") as rules,
    ):
        _restore(unwatched, programs.restored())
        rules.write(kind.restored)
        rules.flush()
        for tamperer in tamperers * kind.rounds:
            ours.append(kind.back(tamperer))
            await asyncio.sleep(PAUSE)
            kind.delete(other)
            tool.append(took(lambda: _restore_from(unwatched, rules.name)).wall)
            await asyncio.sleep(PAUSE)
    return Figure(
        name=f"repair-{kind.name}",
        what=f"{kind.what}, p99, {len(node.pods)} pods watched",
        ours=percentile(ours, 99) * _MILLI,
        reference=percentile(tool, 99) * _MILLI,
        compared_with="nsenter + iptables-nft-restore, told at once",
        unit="ms",
        goal=AtMost(kind.goal),
        details={
            "ours median": median(ours) * _MILLI,
            **spread(ours, _MILLI),
            "reference median": median(tool) * _MILLI,
            **spread(tool, _MILLI, "reference"),
        },
    )


async def _floor(name: str, what: str, *how: str) -> Figure:
    """Have a process without records put the jumps back, and a tool run in between as well."""
    bare: list[float] = []
    tool: list[float] = []
    with (
        started_pods() as pods,
        started_pod() as unwatched,
        tampering(pods) as tamperers,
        tampering((unwatched,)) as (other,),
        tempfile.NamedTemporaryFile("w") as rules,
    ):
        rules.write(_JUMP)
        rules.flush()
        for pod in (*pods, unwatched):
            _restore(pod, programs.restored())
        with _bare_repairer(pods, *how):
            for tamperer in tamperers * FLOOR_ROUNDS:
                bare.append(tamperer.jump_back())
                await asyncio.sleep(PAUSE)
                other.delete_jump()
                tool.append(took(lambda: _restore_from(unwatched, rules.name)).wall)
                await asyncio.sleep(PAUSE)
    return Figure(
        name=name,
        what=what,
        ours=percentile(bare, 99) * _MILLI,
        reference=percentile(tool, 99) * _MILLI,
        compared_with="nsenter + iptables-nft-restore, told at once",
        unit="ms",
        details={"ours median": median(bare) * _MILLI, **spread(bare, _MILLI)},
    )


@contextlib.contextmanager
def _bare_repairer(pods: Iterable[Pod], *how: str) -> Iterator[None]:
    arguments = (*how, *(str(pod.pid) for pod in pods))
    with started_peer("bare_repairer.py", *arguments, stdout=subprocess.PIPE) as repairer:
        try:
            if repairer.stdout is None or repairer.stdout.readline() != b"ready\n":
                raise RuntimeError("the bare repairer does not run")
            yield
        finally:
            repairer.kill()


def _restore(pod: Pod, text: str) -> None:
    with tempfile.NamedTemporaryFile("w") as rules:
        rules.write(text)
        rules.flush()
        _restore_from(pod, rules.name)


def _restore_from(pod: Pod, path: str) -> None:
    run(["nsenter", "-t", str(pod.pid), "-n", "iptables-nft-restore", "--noflush"], path)
