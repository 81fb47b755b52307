"""What a runtime says to a plugin. Everything but the outcome of our registration wants an answer.

`stream` tells one call from another.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from capture_nri.pod_sandboxes import PodSandbox


class Lifecycle(IntEnum):
    """The moments in a pod's life that a plugin can subscribe to, with NRI's names and numbers."""

    RUN_POD_SANDBOX = 1
    STOP_POD_SANDBOX = 2
    REMOVE_POD_SANDBOX = 3
    CREATE_CONTAINER = 4


@dataclass(frozen=True, slots=True)
class Registered:
    """The runtime took our registration. `Configure` may arrive before or after this."""


@dataclass(frozen=True, slots=True)
class RegistrationRefused:
    """The runtime did not take our registration: gRPC status code and the runtime's words."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Configure:
    """Which runtime this is; accepting it subscribes to all of `Lifecycle`.

    `request_timeout` is how many seconds the runtime waits for an answer before it drops the
    plugin; None from runtimes that don't tell.
    """

    stream: int
    runtime: str
    version: str
    request_timeout: float | None


@dataclass(frozen=True, slots=True)
class Synchronize:
    """A page of the sandboxes that exist already; `more` says that another one follows."""

    stream: int
    sandboxes: tuple[PodSandbox, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class LifecycleEvent:
    """A moment in a sandbox's life; the runtime goes on once it is answered."""

    stream: int
    moment: Lifecycle
    sandbox: PodSandbox


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The runtime ends."""

    stream: int


@dataclass(frozen=True, slots=True)
class OtherStateChange:
    """A moment that `Lifecycle` doesn't have: nothing to do but to accept it."""

    stream: int


@dataclass(frozen=True, slots=True)
class UnknownMethod:
    """A call that a newer runtime may make, and that we can't serve."""

    stream: int
    method: str


Call: TypeAlias = Configure | Synchronize | LifecycleEvent | Shutdown | OtherStateChange
"""What can be accepted or refused."""
Event: TypeAlias = Registered | RegistrationRefused | Call | UnknownMethod
