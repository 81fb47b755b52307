"""Wall and CPU time of calls, and what a number of them came to."""

import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of one call; `cpu` counts this process and the children that it waited for."""

    wall: float
    cpu: float


@dataclass(slots=True)
class Stopwatch:
    """What a block took, once it has ended."""

    took: Took = field(default_factory=lambda: Took(0, 0))


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Time the block."""
    watch = Stopwatch()
    cpu, wall = _cpu(), time.perf_counter()
    yield watch
    wall = time.perf_counter() - wall
    watch.took = Took(wall, _cpu() - cpu)


def took(call: Callable[[], object], times: int = 1) -> Took:
    """Time one call, as the mean of so many in a row."""
    with stopwatch() as watch:
        for _ in range(times):
            call()
    return Took(watch.took.wall / times, watch.took.cpu / times)


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that this part of all does not exceed."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, len(ranked) * percent // 100)]


def spread(values: Sequence[float], scale: float = 1.0, whose: str = "ours") -> dict[str, float]:
    """The tail, in the unit that `scale` makes of seconds, named for a figure's details."""
    return {f"{whose} p{each}": percentile(values, each) * scale for each in (95, 99)}


def run(argv: list[str], stdin: str = os.devnull) -> None:
    """Run a program in the leanest way, its input from a file.

    Raises:
        RuntimeError: it failed.
    """
    files = [
        (os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    ]
    pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=files)
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(argv)}: exit {os.waitstatus_to_exitcode(status)}")


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
