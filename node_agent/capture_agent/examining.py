"""One look at one pod: decide what it is to have, find its sandbox, reconcile, see who listens.

A look that fails, in whatever way, is a finding about its pod and nothing else.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from capture_agent.broker_client import BrokerLostError, SandboxRefusedError
from capture_agent.desired import (
    Capture,
    Desired,
    NotApplicable,
    Programs,
    Release,
    Wait,
    Writes,
    desired_for,
)
from capture_agent.drift_accounting import failed
from capture_agent.failures import finding_of
from capture_agent.first_capture import Moment, with_first_capture
from capture_agent.flow_resets import Reset
from capture_agent.listening import Listener, ports_not_listening
from capture_agent.reconciling import Reconciler
from capture_agent.records import PROGRAMMED, Finding, PodRecord
from capture_agent.sandbox_finder import SandboxFinder
from capture_agent.sandboxes import Sandbox
from capture_api.capture_programs import CaptureProgram
from capture_api.captures import EstablishedConnections
from capture_api.node_captures import START_REFUSED, DispatchedPod, PodState

log = logging.getLogger(__name__)

LISTENING_SECONDS = 30.0
"""How long it is believed of an undisturbed pod who listens in it."""

MAX_SEEN = 1024
"""Pods whose last look is remembered: more than a node has."""

_NO_ADDRESS = Finding(PodState.PENDING, "NoPodIP", "the pod has no IP address yet")
_NOT_RESET = Finding(
    PodState.PROGRAMMED,
    "ConnectionsNotReset",
    "connections that began before the capture could not be ended: the agent's log says why",
)
_NOT_FOUND = Finding(
    PodState.PENDING,
    "SandboxNotFound",
    "no process of the pod runs on the node in a network namespace of its own yet",
)


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds that only grow, since the epoch, and since the node's boot."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]
    since_boot: Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A look that found a pod as it should be, at a time on the monotonic clock."""

    pod: DispatchedPod
    program: CaptureProgram | None
    sandbox: Sandbox
    desired: Capture
    at: float


@dataclass(frozen=True, slots=True)
class Examiner:
    """Looks at pods; `listeners` lists the listening TCP sockets of a sandbox."""

    reconciler: Reconciler
    finder: SandboxFinder
    listeners: Callable[[Sandbox], Awaitable[tuple[Listener, ...]]]
    programs: Programs
    clocks: Clocks
    sandboxed: tuple[str, ...] = ()
    """Patterns of the runtime classes whose pods have a network stack of their own."""
    reset: Reset | None = None
    """Ends the connections that began before a program."""
    _seen: dict[str, _Seen] = field(default_factory=dict)
    """The last complete look at a pod, by its UID."""

    async def examine(self, record: PodRecord) -> PodRecord:
        """Bring a pod to what it is to have and record what is so now."""
        try:
            return await self._examine(record)
        except Exception as error:
            log.exception("pod %s/%s", record.pod.namespace, record.pod.name)
            return replace(record, finding=failed("InternalError", f"{type(error).__name__}"))

    async def _examine(self, record: PodRecord) -> PodRecord:
        match self._desired(record):
            case NotApplicable(reason, message):
                return replace(record, finding=Finding(PodState.NOT_APPLICABLE, reason, message))
            case Wait(reason, message):
                return replace(record, finding=Finding(PodState.PENDING, reason, message))
            case (Capture() | Release()) as desired:
                return await self._found(record, desired)

    def _desired(self, record: PodRecord) -> Desired:
        seen = self._seen.get(record.pod.uid)
        if (
            seen
            and (seen.pod, seen.desired.spec) == (record.pod, record.program)
            and seen.program is self._program(record)
        ):
            return seen.desired
        return desired_for(record.pod, self.programs, record.program, self.sandboxed)

    def _program(self, record: PodRecord) -> CaptureProgram | None:
        ref = record.pod.program
        return None if ref is None else self.programs.get((record.pod.namespace, ref.name))

    async def _found(self, record: PodRecord, desired: Capture | Release) -> PodRecord:
        try:
            sandbox = await self._sandbox(record)
        except (SandboxRefusedError, BrokerLostError) as failure:
            return replace(record, finding=finding_of(failure))
        if sandbox is None:
            return _without_sandbox(record)
        if not sandbox.pod_ips:
            return replace(record, finding=_NO_ADDRESS)
        record = await self._in_sandbox(record, desired, sandbox)
        if record.finding.state in {PodState.PENDING, PodState.NOT_APPLICABLE}:
            self.finder.forget(sandbox.pod_uid)  # the broker says that it is not the sandbox
        return record

    async def _sandbox(self, record: PodRecord) -> Sandbox | None:
        if not record.is_starting:
            return await self.finder.find(record.pod)
        try:
            return await self.finder.find_starting(record.pod)
        except SandboxRefusedError:
            self.finder.forget(record.pod.static_pod_uid or record.pod.uid)
            raise

    async def _in_sandbox(
        self, record: PodRecord, desired: Capture | Release, sandbox: Sandbox
    ) -> PodRecord:
        if isinstance(desired, Release):
            return await self.reconciler.release(record, sandbox)
        if self._is_at_rest(record, desired, sandbox):
            is_due = self._is_listening_due(record)
            return await self._with_listening(record, desired, sandbox) if is_due else record
        before = record
        record = await self.reconciler.capture(record, desired, sandbox)
        now = Moment(self.clocks.wall(), self.clocks.since_boot())
        record = with_first_capture(before, record, sandbox, now)
        if record.finding.state is not PodState.PROGRAMMED or record.is_starting:
            return record
        if _is_brought_in(before, record) and not await self._reset(record, desired, sandbox):
            return replace(record, finding=_NOT_RESET)
        if desired.behind is not None:
            behind = Finding(PodState.PROGRAMMED, desired.behind.reason, desired.behind.message)
            record = replace(record, finding=behind)
        return await self._with_listening(record, desired, sandbox)

    async def _reset(self, record: PodRecord, desired: Capture, sandbox: Sandbox) -> bool:
        """End what began before a program, where its capture asks for that and anything may be."""
        policy = desired.spec.established_connections
        if self.reset is None or policy is EstablishedConnections.KEEP:
            return True
        if desired.writes is Writes.NONE:
            return True
        try:
            await self.reset(sandbox, desired.spec.program)
        except (SandboxRefusedError, BrokerLostError, OSError) as failure:
            log.warning("pod %s/%s: %s", record.pod.namespace, record.pod.name, failure)
            return False
        return True

    def _is_at_rest(self, record: PodRecord, desired: Capture, sandbox: Sandbox) -> bool:
        """Whether a pod is for certain as it was when it was found to be as it should."""
        seen = self._seen.get(record.pod.uid)
        return (
            seen is not None
            and record.finding == PROGRAMMED
            and record.held_hash == desired.spec.hash
            and record.held_in == sandbox.netns
            and (seen.sandbox, seen.desired) == (sandbox, desired)
            and self.reconciler.backend.is_unchanged(sandbox)
        )

    def _is_listening_due(self, record: PodRecord) -> bool:
        seen = self._seen[record.pod.uid]
        believed = self.clocks.monotonic() - seen.at < LISTENING_SECONDS
        return bool(record.ports_not_listening) or not believed

    async def _with_listening(
        self, record: PodRecord, desired: Capture, sandbox: Sandbox
    ) -> PodRecord:
        try:
            listeners = await self.listeners(sandbox)
        except (SandboxRefusedError, BrokerLostError) as failure:
            return replace(record, finding=finding_of(failure))
        except OSError as error:
            return replace(record, finding=failed("ListenersUnreadable", str(error)))
        now = self.clocks.monotonic()
        seen = _Seen(record.pod, self._program(record), sandbox, desired, now)
        self._remember(record.pod.uid, seen)
        silent = ports_not_listening(desired.spec.program, listeners, sandbox.pod_ips)
        return replace(record, ports_not_listening=silent)

    def _remember(self, pod_uid: str, seen: _Seen) -> None:
        if len(self._seen) >= MAX_SEEN:
            self._seen.clear()  # of pods that are gone, mostly; the others are looked at anew
        self._seen[pod_uid] = seen


def _without_sandbox(record: PodRecord) -> PodRecord:
    without = record.without_sandbox()
    if record.finding.reason == START_REFUSED:
        return without  # why it does not run says more than that it does not
    return replace(without, finding=_NOT_FOUND if record.pod.pod_ips else _NO_ADDRESS)


def _is_brought_in(before: PodRecord, after: PodRecord) -> bool:
    """Whether this pass is the first that found a sandbox holding a program."""
    return (before.held_hash, before.held_in) != (after.held_hash, after.held_in)
