"""Complete listings: before the first write, and now and then against missed deletions.

Dispatching from a half-filled store would take the rules out of running pods, so everything is
listed before anything is written. And when a watch was down, its stream starts again with what
exists and never mentions what was deleted meanwhile, so every few minutes whatever is neither in
a listing nor was heard of since it began is dropped.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from typing import Final

from capture_operator.api import Api, ApiError, NotFoundError
from capture_operator.intake import Intake
from capture_operator.resources import WATCHED, ObjectKey, Resource
from capture_operator.schedules import Backoff
from capture_operator.store import Store

RESYNC_EVERY: Final = 300.0
FIRST_RESYNC_AFTER: Final = 30.0
"""Seconds to the second listing, which finds what was deleted before the watches began."""

_log = logging.getLogger(__name__)


def stale_keys(held: Iterable[ObjectKey], heard_of: Collection[ObjectKey]) -> tuple[ObjectKey, ...]:
    """Find what is held and gone: neither listed nor heard of since the listing began."""
    return tuple(key for key in held if key not in heard_of)


class Resync:
    """Lists everything into the intake.

    Args:
        random: numbers from 0 to 1, for jitter.
    """

    def __init__(
        self, *, api: Api, store: Store, intake: Intake, random: Callable[[], float]
    ) -> None:
        self._api = api
        self._store = store
        self._intake = intake
        self._random = random
        self._backoff = Backoff(first=1.0, longest=30.0, random=random)

    async def fill(self) -> None:
        """List everything, as often as it takes."""
        for resource in WATCHED:
            await self._persistently(resource)

    async def repeat(self) -> None:
        """List everything now and then, until cancelled."""
        await asyncio.sleep(FIRST_RESYNC_AFTER)
        while True:
            await self.fill()
            await asyncio.sleep(RESYNC_EVERY * (0.8 + 0.4 * self._random()))

    async def _persistently(self, resource: Resource) -> None:
        failures = 0
        while True:
            try:
                await self.list_once(resource)
            except ApiError as error:
                failures += 1
                delay = self._backoff.delay(failures)
                _log.warning("%s; again in %.0f s", _explain(resource, error), delay)
                await asyncio.sleep(delay)
            else:
                return

    async def list_once(self, resource: Resource) -> None:
        """List one kind, and drop what is gone.

        Raises:
            ApiError: the listing is not complete; nothing was dropped.
        """
        table = self._store.table(resource)
        with table.noting_keys() as heard_of:
            async for raw in self._api.list_objects(resource):
                self._intake.put(resource, raw)
            for key in stale_keys(table, heard_of):
                self._intake.drop(resource, key)


def _explain(resource: Resource, error: ApiError) -> str:
    if isinstance(error, NotFoundError):
        return f"the API server does not know {resource.plural}.{resource.group}: install the CRDs"
    return f"listing {resource.plural} failed: {error}"
