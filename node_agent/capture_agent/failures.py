"""What can go wrong in a pass over a pod, told as a finding about that pod. Pure."""

from typing import Final

from capture_agent.broker_client import BrokerLostError, SandboxRefusedError
from capture_agent.broker_protocol import Refusal
from capture_agent.drift_accounting import failed
from capture_agent.nat_backends import TABLE_FAILURES, BackendError, TableFailure
from capture_agent.records import Finding
from capture_api.node_captures import PodState
from capture_nat.enforceable import UnenforceableProgramError
from capture_nat.planning import ChainConflictError

Failure = ChainConflictError | UnenforceableProgramError | TableFailure
FAILURES: Final = (ChainConflictError, UnenforceableProgramError, *TABLE_FAILURES)
"""The same for `except`."""


def finding_of(failure: Failure) -> Finding:
    """Say what a failure means for the pod."""
    match failure:
        case ChainConflictError():
            return failed("ChainConflict", str(failure))
        case UnenforceableProgramError():
            return failed("ProgramUnenforceable", str(failure))
        case BackendError():
            return failed(failure.reason, str(failure))
        case BrokerLostError():
            return failed("BrokerLost", str(failure))
        case SandboxRefusedError():
            return _refused(failure)


def _refused(error: SandboxRefusedError) -> Finding:
    match error.refusal:
        case Refusal.STEP_FAILED:
            return failed(error.refusal, str(error))
        case Refusal.HOST_NETWORK:
            return Finding(PodState.NOT_APPLICABLE, error.refusal, str(error))
    return Finding(PodState.PENDING, error.refusal, str(error))
