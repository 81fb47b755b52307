"""One look at one pod: decide what it is to have, find its sandbox, reconcile, see who listens.

A look that fails, in whatever way, is a finding about its pod and nothing else.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from msgspec.structs import replace

from capture_agent.broker_client import BrokerLostError, SandboxRefusedError
from capture_agent.broker_protocol import Listener, Refusal
from capture_agent.desired import (
    Capture,
    NotApplicable,
    Programs,
    Release,
    Wait,
    desired_for,
)
from capture_agent.drift_accounting import failed
from capture_agent.listening import ports_not_listening
from capture_agent.reconciling import Reconciler
from capture_agent.records import Finding, PodRecord
from capture_agent.sandbox_finder import SandboxFinder
from capture_agent.sandboxes import OnHostNetwork, Sandbox
from capture_api.node_captures import PodState

log = logging.getLogger(__name__)

_ON_HOST_NETWORK = Finding(
    PodState.NOT_APPLICABLE,
    "HostNetwork",
    "the pod's processes are in the node's network namespace; its rules are never touched",
)
_NO_ADDRESS = Finding(PodState.PENDING, "NoPodIP", "the pod has no IP address yet")
_NOT_FOUND = Finding(
    PodState.PENDING, "SandboxNotFound", "no process of the pod runs on the node yet"
)


@dataclass(frozen=True, slots=True)
class Examiner:
    """Looks at pods; `listeners` lists the listening TCP sockets of a sandbox."""

    reconciler: Reconciler
    finder: SandboxFinder
    listeners: Callable[[Sandbox], Awaitable[tuple[Listener, ...]]]
    programs: Programs

    async def examine(self, record: PodRecord) -> PodRecord:
        """Bring a pod to what it is to have and record what is so now."""
        match desired_for(record.pod, self.programs, record.program):
            case NotApplicable(reason, message):
                return replace(record, finding=Finding(PodState.NOT_APPLICABLE, reason, message))
            case Wait(reason, message):
                return replace(record, finding=Finding(PodState.PENDING, reason, message))
            case (Capture() | Release()) as desired:
                return await self._contained(record, desired)

    async def _contained(self, record: PodRecord, desired: Capture | Release) -> PodRecord:
        try:
            return await self._in_sandbox(record, desired)
        except SandboxRefusedError as error:
            self.finder.forget(record.pod.uid)
            return replace(record, finding=_refused(error))
        except BrokerLostError as error:
            return replace(record, finding=failed("BrokerLost", str(error)))
        except Exception as error:
            log.exception("pod %s/%s", record.pod.namespace, record.pod.name)
            return replace(record, finding=failed("InternalError", f"{type(error).__name__}"))

    async def _in_sandbox(self, record: PodRecord, desired: Capture | Release) -> PodRecord:
        if not record.pod.pod_ips:
            return replace(record, finding=_NO_ADDRESS)
        sandbox = await self.finder.find(record.pod)
        match sandbox:
            case None:
                return replace(record, finding=_NOT_FOUND)
            case OnHostNetwork():
                return replace(record, finding=_ON_HOST_NETWORK)
        if isinstance(desired, Release):
            return await self.reconciler.release(record, sandbox)
        record = await self.reconciler.capture(record, desired, sandbox)
        return await self._with_listening(record, desired, sandbox)

    async def _with_listening(
        self, record: PodRecord, desired: Capture, sandbox: Sandbox
    ) -> PodRecord:
        if record.finding.state is not PodState.PROGRAMMED:
            return record
        listeners = await self.listeners(sandbox)
        silent = ports_not_listening(desired.spec.program, listeners, sandbox.pod_ips)
        return replace(record, ports_not_listening=silent)


def _refused(error: SandboxRefusedError) -> Finding:
    match error.refusal:
        case Refusal.HOST_NETWORK:
            return _ON_HOST_NETWORK
        case Refusal.STEP_FAILED:
            return failed(error.refusal, str(error))
    return Finding(PodState.PENDING, error.refusal, str(error))
