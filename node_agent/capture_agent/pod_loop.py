"""The reconcile loop of a node: keeps a record of each of its pods, and has it examined.

Goals:

* A pod is looked at at once when its dispatch or its program changes, or when somebody changed its
  rules and the kernel said so; soon when something it needs is awaited; and now and then otherwise:
  not every change makes a noise. (`looks` is the clockwork.)
* A pod that starts is looked at at once, dispatched or not (`look_now`). Until it is dispatched, or
  its sandbox is gone, it is kept up like any other. Each look at a sandbox that has no container
  yet knows that (from `begins` to `started`), whatever it was that asked for the look.
* What was dispatched last holds until something else is dispatched: a NodeCapture that is deleted,
  or an API server that is gone, takes nothing away from a running pod.
* An agent begins where the one before it ended. Without anything dispatched it may `go_on`, which
  never takes rules out of a pod: what was kept may be older than what is in force.
* What a look finds is about what was there when it began: not about a pod that has left since, or
  about a sandbox that is gone.
"""

from collections.abc import Awaitable, Callable, Iterable

from msgspec.structs import replace

from capture_agent.checkpoints import Checkpoint, later, reported_in
from capture_agent.drift_accounting import failed
from capture_agent.looks import Looks, Next, Timing
from capture_agent.records import PodRecord
from capture_agent.reporting import handed_over, retire, status_of
from capture_api.node_captures import (
    START_REFUSED,
    AgentInfo,
    DispatchedPod,
    NodeCapture,
    NodeCaptureStatus,
    PastDrift,
    PodState,
)


class PodLoop:
    """Keeps a record of every dispatched pod, and keeps examining them.

    `examine` looks at one pod and never fails; `changed` hears that `status` may say something new;
    `kept` is what an earlier agent on this node knew.
    """

    def __init__(
        self,
        examine: Callable[[PodRecord], Awaitable[PodRecord]],
        changed: Callable[[], None],
        timing: Timing,
        agent: AgentInfo,
        kept: Checkpoint | None = None,
    ) -> None:
        self._examine = examine
        self._changed = changed
        self._agent = agent
        self._looks = Looks(self._look, timing)
        self._records: dict[str, PodRecord] = {}
        self._counts: set[str] = set()
        """UIDs of the pods that are what they were when the last look at them began."""
        self._starting: set[str] = set()
        """UIDs of the pods whose sandbox has no container yet, as the runtime calls them."""
        self._past_drift: tuple[PastDrift, ...] = ()
        self._kept: Checkpoint | None = kept or Checkpoint()
        self._node_capture_uid = ""
        self._generation = 0

    def dispatch(self, node_capture: NodeCapture) -> None:
        """Take over what the operator dispatched to this node; a change of status is nothing."""
        uid, generation = node_capture.metadata.uid, node_capture.metadata.generation
        if (uid, generation) == (self._node_capture_uid, self._generation):
            return
        if self._kept is not None:
            self._begin_with(
                later(self._kept, reported_in(node_capture.status, self._agent.boot_id))
            )
        # Generations of another NodeCapture of this name can't be compared with this one's.
        before = self._generation if uid == self._node_capture_uid else 0
        self._node_capture_uid, self._generation = uid, generation
        dispatched = {pod.uid: pod for pod in node_capture.spec.pods}
        for uid, record in tuple(self._records.items()):
            if uid not in dispatched and not record.is_provisional:
                self._drop(uid)
        for pod in dispatched.values():
            self._take_over(pod, before)
        self._changed()

    def go_on(self) -> None:
        """Keep up what was kept, until something is dispatched."""
        if self._kept is None:
            return
        self._begin_with(self._kept)
        for uid, record in self._records.items():
            if record.pod.program is not None:
                self._looks.at_once(uid)
        self._changed()

    def program_changed(self, namespace: str, name: str) -> None:
        """Examine the pods of a capture at once: its CaptureProgram changed."""
        for uid, record in self._records.items():
            ref = record.pod.program
            if ref is not None and (record.pod.namespace, ref.name) == (namespace, name):
                self._looks.at_once(uid)

    @property
    def kept(self) -> Checkpoint | None:
        """What an earlier agent knew; None once it is taken over."""
        return self._kept

    @property
    def records(self) -> Iterable[PodRecord]:
        """What is known of each dispatched pod: a live view."""
        return self._records.values()

    @property
    def status(self) -> NodeCaptureStatus:
        """The evidence of the node as it is now."""
        return status_of(self._records.values(), self._past_drift, self._agent, self._generation)

    @property
    def past_drift(self) -> tuple[PastDrift, ...]:
        """The drift of pods that are gone."""
        return self._past_drift

    @property
    def longest_look(self) -> float:
        """For how many seconds the longest look that is going on has lasted; 0 for none."""
        return self._looks.longest

    async def run(self) -> None:
        """Examine pods when they are due, for ever."""
        await self._looks.run()

    def known(self, pod_uid: str) -> PodRecord | None:
        """Tell what is known of a pod."""
        return self._records.get(pod_uid)

    def mirror(self, static_pod_uid: str, namespace: str, name: str) -> PodRecord | None:
        """Tell what is known of a static pod's mirror, which has its namespace and its name.

        Without these it may be anybody's pod that says it were the mirror of this one.
        """
        for record in self._records.values():
            if record.pod.static_pod_uid == static_pod_uid and _is_called(record, namespace, name):
                return record
        return None

    def add(self, pod: DispatchedPod) -> None:
        """Examine a pod soon that may not have been dispatched yet."""
        if self.known(pod.uid) is None:
            self._records[pod.uid] = PodRecord(pod=pod, is_provisional=True)
        self.look_again(pod.uid)

    def begins(self, pod_uid: str) -> None:
        """Take note that a pod has a new sandbox without a container.

        What was found before was found in another one. A static pod goes by either UID.
        """
        self._starting.add(pod_uid)
        for record in self._of(pod_uid):
            self._forget_sandbox(record)

    def started(self, pod_uid: str) -> None:
        """Take note that a pod may have a container from now on; a static one by either UID.

        What a look that is going on brings into the sandbox may come after that: it is not
        believed, and the next one finds what there is.
        """
        if pod_uid not in self._starting:
            return
        self._starting.remove(pod_uid)
        for record in self._of(pod_uid):
            self._counts.discard(record.pod.uid)
            self._looks.soon(record.pod.uid)

    async def look_now(self, pod: DispatchedPod) -> None:
        """Examine a pod before this returns, as the dispatch has it, or else as given here."""
        record = self.known(pod.uid) or PodRecord(pod=pod, is_provisional=True)
        if record.is_provisional:
            record = replace(record, pod=pod)
        self._records[pod.uid] = record
        await self._looks.now(pod.uid)

    def reassign(self, pod: DispatchedPod) -> None:
        """Decide otherwise about a pod that nobody has dispatched yet."""
        record = self._records.get(pod.uid)
        if record is not None and record.is_provisional and record.pod != pod:
            self._records[pod.uid] = replace(record, pod=pod)
            self._looks.at_once(pod.uid)

    def refused(self, pod_uid: str, message: str) -> None:
        """Record that a pod was not let start; it is tried again by the kubelet."""
        record = self._records.get(pod_uid)
        if record is not None:
            finding = failed(START_REFUSED, message)
            self._records[pod_uid] = replace(record, finding=finding)
            self._changed()

    def look_again(self, pod_uid: str) -> None:
        """Examine a pod at once: something in it changed. A static one goes by either UID."""
        for record in self._of(pod_uid):
            self._looks.disturbed(record.pod.uid)

    def ended(self, pod_uid: str) -> None:
        """Forget what was found in a pod's sandbox, which is gone; a static one goes by either UID.

        A pod that nobody dispatched is forgotten as a whole.
        """
        self._starting.discard(pod_uid)
        for record in self._of(pod_uid):
            if record.is_provisional:
                self._drop(record.pod.uid)
            else:
                self._forget_sandbox(record)
                self._looks.at_once(record.pod.uid)
            self._changed()

    def introduce(self, agent: AgentInfo) -> None:
        """Say from now on of the agent what is said here."""
        self._agent = agent
        self._changed()

    async def _look(self, uid: str) -> Next:
        if uid not in self._records:
            return Next.NEVER
        self._counts.add(uid)
        record = self._records[uid]
        if self._is_starting(record):
            record = replace(record, is_starting=True)
        examined = await self._examine(record)
        if uid not in self._counts:
            # It left, or what was found is of another sandbox: whatever is there now is not seen.
            return Next.AWAITED if uid in self._records else Next.NEVER
        self._put_back(examined)
        return _next(self._records[uid])

    def _begin_with(self, known: Checkpoint) -> None:
        """Begin where the agent that ran here before left off; it looked, this one has not."""
        self._kept = None
        self._past_drift = known.past_drift
        for record in known.records:
            self._records[record.pod.uid] = replace(record, examined_generation=0)

    def _take_over(self, pod: DispatchedPod, before: int) -> None:
        record = self._records.get(pod.uid) or self._started_as(pod)
        if record is None:
            record = PodRecord(pod=pod, examined_generation=before)
        elif record.is_provisional:
            # What was found of it was found before any dispatch.
            record = replace(record, is_provisional=False, examined_generation=before)
        elif before and record.pod == pod and record.examined_generation == before:
            # Nothing changed for a pod that was examined: it is as if examined again.
            self._records[pod.uid] = replace(record, examined_generation=self._generation)
            return
        examined = min(before, record.examined_generation)
        self._records[pod.uid] = replace(record, pod=pod, examined_generation=examined)
        self._looks.anew(pod.uid)

    def _started_as(self, pod: DispatchedPod) -> PodRecord | None:
        """Find a static pod that was started before its mirror told which one it is."""
        record = self._records.get(pod.static_pod_uid or "")
        if record is None or not _is_called(record, pod.namespace, pod.name):
            return None  # or it only says that it were this one's mirror
        self._remove(record.pod.uid)
        return record

    def _put_back(self, examined: PodRecord) -> None:
        current = self._records[examined.pod.uid]
        if current.held_by and current.held_by != examined.held_by:
            self._past_drift = retire(self._past_drift, current)
            examined = handed_over(current, examined)
        # What was found out about a pod that was dispatched anew meanwhile is not about that.
        is_current = current.pod == examined.pod
        generation = self._generation if is_current else current.examined_generation
        record = replace(
            examined,
            pod=current.pod,
            is_starting=False,
            is_provisional=current.is_provisional,
            examined_generation=generation,
        )
        self._records[record.pod.uid] = record
        if record != current:
            self._changed()

    def _of(self, pod_uid: str) -> tuple[PodRecord, ...]:
        if pod_uid in self._records:
            return (self._records[pod_uid],)
        records = self._records.values()
        return tuple(each for each in records if each.pod.static_pod_uid == pod_uid)

    def _is_starting(self, record: PodRecord) -> bool:
        return not self._starting.isdisjoint((record.pod.uid, record.pod.static_pod_uid))

    def _forget_sandbox(self, record: PodRecord) -> None:
        self._records[record.pod.uid] = record.without_sandbox()
        self._counts.discard(record.pod.uid)

    def _drop(self, uid: str) -> None:
        self._past_drift = retire(self._past_drift, self._remove(uid))

    def _remove(self, uid: str) -> PodRecord:
        self._looks.forget(uid)
        self._counts.discard(uid)
        return self._records.pop(uid)


def _is_called(record: PodRecord, namespace: str, name: str) -> bool:
    return (record.pod.namespace, record.pod.name) == (namespace, name)


def _next(record: PodRecord) -> Next:
    if record.pod.host_network or record.is_released:
        return Next.NEVER
    is_awaited = record.finding.state in {PodState.PENDING, PodState.FAILED}
    return Next.AWAITED if is_awaited else Next.QUIET
