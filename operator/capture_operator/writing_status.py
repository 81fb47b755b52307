"""Writes captures' statuses, and tells what happened."""

from collections.abc import Callable

from capture_api.captures import TrafficCaptureStatus
from capture_api.wire import encode
from capture_operator.aggregation import assess, differs_in_counters_only
from capture_operator.api import Api, NotFoundError
from capture_operator.captures import Capture
from capture_operator.happenings import happenings
from capture_operator.intake import Intake
from capture_operator.reachability import out_of_reach
from capture_operator.recording import Recorder
from capture_operator.releasing import Release
from capture_operator.resources import CAPTURES, ObjectKey
from capture_operator.store import Store
from capture_operator.views import CaptureView
from capture_operator.work import StatusWork
from capture_operator.writing_dispatch import candidates_in

_COUNTERS_EVERY = 10.0


class StatusWriter:
    """Brings one capture's status in line with the evidence.

    Args:
        release_of: what holds a capture that is being deleted.
        clock: seconds since the epoch.
        random: numbers from 0 to 1, for the jitter of what is written for counters only.
    """

    def __init__(  # noqa: PLR0913 - wiring
        self,
        *,
        api: Api,
        store: Store,
        intake: Intake,
        recorder: Recorder,
        release_of: Callable[[Capture], Release],
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._api = api
        self._store = store
        self._intake = intake
        self._recorder = recorder
        self._release_of = release_of
        self._clock = clock
        self._random = random
        self._counters_due: dict[ObjectKey, float] = {}

    async def bring_up_to_date(self, work: StatusWork) -> float | None:
        """Write the status of one capture if it changed; returns when to look again, in seconds."""
        key = work.capture
        capture = self._store.captures.get(key)
        if capture is None:
            self._counters_due.pop(key, None)
            return None
        assessment = assess(self._view(key, capture))
        if assessment.status == capture.status:
            return assessment.recheck_after
        wait = self._wait(key, capture.status, assessment.status)
        if wait > 0:
            return min(wait, assessment.recheck_after or wait)
        await self._write(key, capture, assessment.status)
        return assessment.recheck_after

    def _view(self, key: ObjectKey, capture: Capture) -> CaptureView:
        return CaptureView(
            capture=capture,
            program=self._store.programs.get(key),
            candidates=candidates_in(self._store, key.namespace),
            pods=self._store.pods_in(key.namespace),
            reports={report.metadata.name: report for report in self._store.reports.values()},
            out_of_reach=out_of_reach(self._store.nodes.values(), self._store.absences),
            release=self._release_of(capture) if capture.deleting else None,
            now=self._clock(),
        )

    def _wait(self, key: ObjectKey, old: TrafficCaptureStatus, new: TrafficCaptureStatus) -> float:
        """Seconds for which a change of counters has to wait; other changes never do."""
        if not differs_in_counters_only(old, new):
            return 0.0
        return self._counters_due.get(key, 0.0) - self._clock()

    async def _write(self, key: ObjectKey, capture: Capture, status: TrafficCaptureStatus) -> None:
        try:
            written = await self._api.replace_fields(
                CAPTURES,
                key,
                capture.metadata.resource_version,
                {"/status": encode(status)},
                subresource="status",
            )
        except NotFoundError:
            return  # it is gone, and the watch says so
        self._counters_due[key] = self._clock() + _COUNTERS_EVERY * (0.8 + 0.4 * self._random())
        self._intake.put(CAPTURES, written)
        for happening in happenings(capture.status, status):
            self._recorder.note(capture.metadata, happening)
