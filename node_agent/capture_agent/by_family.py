"""What is so, or failed, in each of a sandbox's tables: no table hides what is so in another."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from capture_agent.nat_backends import TABLE_FAILURES, TableFailure
from capture_nat.families import Family

T = TypeVar("T")


async def one_by_one(
    families: Iterable[Family], work: Callable[[Family], Awaitable[T]]
) -> dict[Family, T | TableFailure]:
    """Work on one family after the other, whatever becomes of those before."""
    done: dict[Family, T | TableFailure] = {}
    for family in families:
        try:
            done[family] = await work(family)
        except TABLE_FAILURES as failure:
            done[family] = failure
    return done


def failures_in(done: Mapping[Family, T | TableFailure]) -> dict[Family, TableFailure]:
    """Name the families that failed, and why."""
    return {family: each for family, each in done.items() if isinstance(each, TABLE_FAILURES)}
