"""The same with many things, a few of them side by side."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_THREADS: Final = 4


def with_each(things: Iterable[T], do: Callable[[T], R]) -> list[R]:
    """Do something with each; the results, in the order of the things."""
    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(do, things))
