"""The reconcile loop of a node: examines each dispatched pod when it is due.

Goals:

* A pod is due at once when its dispatch or its program changes, soon when something it needs is
  awaited, and after a jittered interval otherwise: drift makes no noise that this loop could hear.
* One pass at a time. The broker serves one request at a time anyway, and no two passes can ever
  meet in one namespace.
* What was dispatched last holds until something else is dispatched: a NodeCapture that is deleted,
  or an API server that is gone, takes nothing away from a running pod.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from msgspec.structs import replace

from capture_agent.records import PodRecord, first_record
from capture_agent.reporting import retire, status_of
from capture_agent.schedule import Schedule
from capture_api.node_captures import (
    AgentInfo,
    DispatchedPod,
    NodeCapture,
    NodeCaptureStatus,
    PastDrift,
    PodState,
)

SOON = 0.25
"""Seconds until a pod for which something is awaited is due again; doubles up to the interval."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How the loop measures time: seconds, and a random factor around 1."""

    monotonic: Callable[[], float]
    jitter: Callable[[], float]
    interval: float
    """Seconds between looks at a quiet pod."""


class PodLoop:
    """Keeps a record of every dispatched pod, and keeps examining them.

    `examine` looks at one pod and never fails; `publish` takes each new status of the node.
    """

    def __init__(
        self,
        examine: Callable[[PodRecord], Awaitable[PodRecord]],
        publish: Callable[[NodeCaptureStatus], None],
        timing: Timing,
        agent: AgentInfo,
    ) -> None:
        self._examine = examine
        self._publish_status = publish
        self._timing = timing
        self._agent = agent
        self._schedule = Schedule(timing.monotonic)
        self._records: dict[str, PodRecord] = {}
        self._delays: dict[str, float] = {}
        self._past_drift: tuple[PastDrift, ...] = ()
        self._node_capture_uid = ""
        self._generation = 0
        self.last_progress = timing.monotonic()
        """When the last look at a pod began or ended."""
        self.is_busy = False
        """Whether a pod is being looked at."""

    def dispatch(self, node_capture: NodeCapture) -> None:
        """Take over what the operator dispatched to this node; a change of status is nothing."""
        uid, generation = node_capture.metadata.uid, node_capture.metadata.generation
        if (uid, generation) == (self._node_capture_uid, self._generation):
            return
        if not self._generation:
            self._past_drift = node_capture.status.past_drift
        reported = {evidence.uid: evidence for evidence in node_capture.status.pods}
        dispatched = {pod.uid: pod for pod in node_capture.spec.pods}
        for gone in self._records.keys() - dispatched.keys():
            self._drop(gone)
        before, self._node_capture_uid, self._generation = self._generation, uid, generation
        for pod in dispatched.values():
            known = self._records.get(pod.uid)
            self._take_over(pod, known or first_record(pod, reported.get(pod.uid), before), before)
        self._publish()

    def program_changed(self, namespace: str, name: str) -> None:
        """Examine the pods of a capture at once: its CaptureProgram changed."""
        for uid, record in self._records.items():
            ref = record.pod.program
            if ref is not None and (record.pod.namespace, ref.name) == (namespace, name):
                self._schedule.put(uid, 0)

    async def run(self) -> None:
        """Examine pods, one after the other, for ever."""
        while True:
            uid = await self._schedule.take()
            self.is_busy, self.last_progress = True, self._timing.monotonic()
            generation, record = self._generation, self._records[uid]
            examined = replace(await self._examine(record), examined_generation=generation)
            self.is_busy, self.last_progress = False, self._timing.monotonic()
            self._put_back(examined)

    def _take_over(self, pod: DispatchedPod, record: PodRecord, before: int) -> None:
        if pod.uid in self._records and record.pod == pod and record.examined_generation == before:
            # Nothing changed for a pod that was examined: it is as if examined again.
            self._records[pod.uid] = replace(record, examined_generation=self._generation)
            return
        self._records[pod.uid] = replace(record, pod=pod)
        self._delays.pop(pod.uid, None)
        self._schedule.put(pod.uid, 0)

    def _put_back(self, examined: PodRecord) -> None:
        uid = examined.pod.uid
        current = self._records.get(uid)
        if current is None:
            # It left the dispatch meanwhile; its rules stay, as for every pod that is not listed.
            return
        self._records[uid] = replace(examined, pod=current.pod)
        if current.pod == examined.pod:
            self._reschedule(examined)
        self._publish()

    def _reschedule(self, record: PodRecord) -> None:
        uid, interval = record.pod.uid, self._timing.interval
        if record.finding.state is PodState.NOT_APPLICABLE or record.is_released:
            self._schedule.drop(uid)
        elif record.finding.state in {PodState.PENDING, PodState.FAILED}:
            delay = min(interval, 2 * self._delays.get(uid, SOON / 2))
            self._delays[uid] = delay
            self._schedule.put(uid, delay * self._timing.jitter())
        else:
            self._delays.pop(uid, None)
            self._schedule.put(uid, interval * self._timing.jitter())

    def _drop(self, uid: str) -> None:
        self._past_drift = retire(self._past_drift, self._records.pop(uid))
        self._schedule.drop(uid)
        self._delays.pop(uid, None)

    def _publish(self) -> None:
        self._publish_status(
            status_of(self._records.values(), self._past_drift, self._agent, self._generation)
        )
