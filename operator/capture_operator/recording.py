"""Posts what happened to captures as Events: one object per capture, type and reason.

What happens again is counted in the same Event, which is written at most every 30 s. Events are
told once and best effort: one that can't be posted is logged, and nothing waits for it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from capture_api.meta import ObjectMeta
from capture_operator.api import Api, NotFoundError
from capture_operator.happenings import EventType, Happening
from capture_operator.resources import CAPTURES, EVENTS, ObjectKey
from capture_operator.times import render_time

COMPONENT: Final = "traffic-capture-operator"
EVERY: Final = 30.0
"""Seconds between two writes of one Event."""
FORGET_AFTER: Final = 600.0
"""Seconds without news after which the next one makes a new Event."""

_MAX_MESSAGE: Final = 1024


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """What one Event is about."""

    capture_uid: str
    type: EventType
    reason: str

    def __str__(self) -> str:
        return f"{self.reason} of capture {self.capture_uid}"


@dataclass(slots=True)
class Series:
    """One Event and what is to be told in it: `count` happenings, of which `told` are written."""

    about: ObjectMeta
    name: str
    first: float
    message: str = ""
    count: int = 0
    told: int = 0
    last: float = 0.0
    written: float | None = None


class Recorder:
    """Collects happenings, and posts what is due.

    Args:
        instance: which operator this is, e.g. its pod's name.
        clock: seconds since the epoch.
        token: makes a new Event's name unique.
        enqueue: gets the key of each series that has news; `post` is to be called for it.
    """

    def __init__(
        self,
        *,
        api: Api,
        instance: str,
        clock: Callable[[], float],
        token: Callable[[], str],
        enqueue: Callable[[SeriesKey], None],
    ) -> None:
        self._api = api
        self._instance = instance
        self._clock = clock
        self._token = token
        self._enqueue = enqueue
        self._series: dict[SeriesKey, Series] = {}

    def note(self, about: ObjectMeta, happening: Happening) -> None:
        """Take note of something that happened to a capture."""
        key = SeriesKey(about.uid, happening.type, happening.reason)
        now = self._clock()
        series = self._series.get(key)
        if series is None or now - series.last > FORGET_AFTER:
            series = Series(about, f"{about.name}.{self._token()}", first=now)
            self._series[key] = series
        series.about, series.message = about, happening.message[:_MAX_MESSAGE]
        series.count, series.last = series.count + 1, now
        self._enqueue(key)

    async def post(self, key: SeriesKey) -> float | None:
        """Write an Event if it has news and is due; returns when to look again, in seconds."""
        series = self._series.get(key)
        if series is None:
            return None
        now = self._clock()
        if series.told == series.count:
            return self._forget_later(key, series, now)
        if series.written is not None and now < series.written + EVERY:
            return series.written + EVERY - now
        await self._write(key, series)
        return EVERY

    def _forget_later(self, key: SeriesKey, series: Series, now: float) -> float | None:
        left = series.last + FORGET_AFTER - now
        if left > 0:
            return left
        del self._series[key]
        return None

    async def _write(self, key: SeriesKey, series: Series) -> None:
        is_new, series.written = series.written is None, self._clock()
        series.told = series.count
        if is_new:
            await self._api.create(EVENTS, self._event(key, series))
            return
        fields = {
            "/count": series.count,
            "/lastTimestamp": render_time(series.last),
            "/message": series.message,
        }
        event = ObjectKey(series.about.namespace, series.name)
        try:
            await self._api.replace_fields(EVENTS, event, "", fields)
        except NotFoundError:  # Events expire
            await self._api.create(EVENTS, self._event(key, series))

    def _event(self, key: SeriesKey, series: Series) -> dict[str, Any]:
        about = series.about
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"namespace": about.namespace, "name": series.name},
            "involvedObject": {
                "apiVersion": CAPTURES.api_version,
                "kind": CAPTURES.kind,
                "namespace": about.namespace,
                "name": about.name,
                "uid": about.uid,
                "resourceVersion": about.resource_version,
            },
            "type": str(key.type),
            "reason": key.reason,
            "message": series.message,
            "count": series.count,
            "firstTimestamp": render_time(series.first),
            "lastTimestamp": render_time(series.last),
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._instance,
        }
