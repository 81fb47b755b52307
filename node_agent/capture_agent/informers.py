"""The objects of one collection, kept as the API server has them by list and watch.

What it promises:

1. `objects` holds what the API server was last known to hold, if only to an earlier process. While
   it is away nothing changes here: the data plane outlives the control plane.
2. Whatever happened unseen (events lost, objects deleted or replaced by a namesake while
   disconnected) is found by the next list, which is compared with what was held.
3. One object that can't be decoded is left out, said once and counted; the others go on.
4. An API server in trouble isn't pressed: attempts back off with jitter and honour Retry-After, and
   a list is only asked for when the watch can't go on from where it was. Losing the connection, 429
   and 503 are no reason to list again; an ERROR event and any other failure (410 Gone: the
   version is too old) are, as in client-go's reflector.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, Generic, NoReturn, TypeAlias, TypeVar

from capture_agent.kube_answers import Listing, WatchEvent, failure_in
from capture_agent.kube_client import KubeClient
from capture_agent.kube_errors import ApiError, KubeError
from capture_agent.retry_delays import RetryDelays
from capture_api.wire import MalformedObjectError, WireStruct, decode

T = TypeVar("T")
Key: TypeAlias = tuple[str, str]
"""Namespace (empty for a cluster-scoped object) and name."""

STEADY: Final = 10.0
"""Seconds; an attempt that lasted this long wasn't part of a row of failures."""

_OVERLOADED: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)

_log = logging.getLogger(__name__)


class _Identity(WireStruct, frozen=True):
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""


class _Identified(WireStruct, frozen=True):
    metadata: _Identity


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    key: Key
    version: tuple[str, str]
    """UID and resource version: a namesake with a new UID is another object."""
    value: T | MalformedObjectError


class Informer(Generic[T]):
    """Follows one collection; `run` it as a task of its own.

    `decode` turns a raw object into a value and may raise `MalformedObjectError`. `on_change` is
    called with the key of each object that was added, changed or removed, after `objects` shows it.
    """

    def __init__(  # noqa: PLR0913 - keyword-only seams for the tests
        self,
        client: KubeClient,
        path: str,
        decode: Callable[[dict[str, Any]], T],
        *,
        on_change: Callable[[Key], None],
        params: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        delays: RetryDelays | None = None,
    ) -> None:
        self.synced = asyncio.Event()
        """Set once the first complete list is in `objects`; never cleared."""
        self.last_contact: float | None = None
        """When the API server was last heard of, by the clock; bookmarks come about a minute."""
        self._client = client
        self._path = path
        self._params = params or {}
        self._decode = decode
        self._on_change = on_change
        self._clock = clock
        self._sleep = sleep
        self._delays = delays or RetryDelays()
        self._resource_version: str | None = None
        self._versions: dict[Key, tuple[str, str]] = {}
        self._objects: dict[Key, T] = {}
        self._malformed: dict[Key, str] = {}

    @property
    def objects(self) -> Mapping[Key, T]:
        """The decoded objects: a live view."""
        return MappingProxyType(self._objects)

    @property
    def malformed(self) -> Mapping[Key, str]:
        """The objects that are left out, each with the field that is wrong: a live view."""
        return MappingProxyType(self._malformed)

    def begin_with(self, objects: Mapping[Key, T]) -> None:
        """Hold what an earlier process knew, until the first list says what there is."""
        self._objects.update(objects)
        self._versions.update(dict.fromkeys(objects, ("", "")))

    async def run(self) -> NoReturn:
        """Follow the collection until cancelled."""
        while True:
            began = self._clock()
            failure = await self._attempt()
            if self._clock() - began >= STEADY:
                self._delays.succeeded()
            delay = self._delays.after_failure(failure.retry_after if failure else None)
            if failure is not None:
                _log.warning("%s: %s; next attempt in %.1f s", self._path, failure, delay)
            await self._sleep(delay)

    async def _attempt(self) -> KubeError | None:
        try:
            await self._list_and_watch()
        except KubeError as failure:
            if isinstance(failure, ApiError) and failure.status not in _OVERLOADED:
                self._resource_version = None
            return failure
        return None

    async def _list_and_watch(self) -> None:
        if self._resource_version is None:
            listing = await self._client.list(self._path, self._read, self._params)
            self._heard(listing.resource_version)
            self._compare(listing)
            self.synced.set()
        async with aclosing(
            self._client.watch(self._path, self._resource_version or "", self._params)
        ) as events:
            async for event in events:
                self._take(event)

    def _take(self, event: WatchEvent) -> None:
        if event.type == "ERROR":
            self._resource_version = None
            raise failure_in(event)
        entry = self._read(event.object)
        self._heard(entry.version[1])
        match event.type:
            case "ADDED" | "MODIFIED":
                self._keep(entry)
                self._on_change(entry.key)
            case "DELETED":
                self._forget(entry.key)
                self._on_change(entry.key)

    def _compare(self, listing: Listing[_Entry[T]]) -> None:
        found = {entry.key: entry for entry in listing.items}
        removed = [key for key in self._versions if key not in found]
        changed = [entry for entry in found.values() if self._changed(entry)]
        for key in removed:
            self._forget(key)
        for entry in changed:
            self._keep(entry)
        for key in (*removed, *(entry.key for entry in changed)):
            self._on_change(key)

    def _changed(self, entry: _Entry[T]) -> bool:
        return self._versions.get(entry.key) != entry.version

    def _keep(self, entry: _Entry[T]) -> None:
        self._versions[entry.key] = entry.version
        if isinstance(entry.value, MalformedObjectError):
            self._leave_out(entry.key, str(entry.value))
        else:
            self._malformed.pop(entry.key, None)
            self._objects[entry.key] = entry.value

    def _leave_out(self, key: Key, error: str) -> None:
        if self._malformed.get(key) != error:
            _log.warning("%s: %s is left out: %s", self._path, "/".join(key), error)
        self._malformed[key] = error
        self._objects.pop(key, None)

    def _forget(self, key: Key) -> None:
        for held in (self._versions, self._objects, self._malformed):
            held.pop(key, None)

    def _heard(self, resource_version: str) -> None:
        self.last_contact = self._clock()
        self._resource_version = resource_version or self._resource_version

    def _read(self, raw: dict[str, Any]) -> _Entry[T]:
        try:
            identity = decode(raw, _Identified).metadata
        except MalformedObjectError as error:
            return _Entry(("", ""), ("", ""), error)
        key = (identity.namespace, identity.name)
        version = (identity.uid, identity.resource_version)
        try:
            return _Entry(key, version, self._decode(raw))
        except MalformedObjectError as error:
            return _Entry(key, version, error)
