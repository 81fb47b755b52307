"""From a request of the runtime's to what it means."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final, TypeAlias

from capture_nri import nri_pb2
from capture_nri.errors import NriProtocolError
from capture_nri.events import (
    Call,
    Configure,
    Lifecycle,
    LifecycleEvent,
    OtherStateChange,
    Shutdown,
    Synchronize,
    UnknownMethod,
)
from capture_nri.pod_sandboxes import pod_sandbox
from capture_nri.ttrpc import Request, parse

SERVICE: Final = "nri.pkg.api.v1alpha1.Plugin"

_AboutAPod: TypeAlias = (
    nri_pb2.RunPodSandboxRequest
    | nri_pb2.StopPodSandboxRequest
    | nri_pb2.RemovePodSandboxRequest
    | nri_pb2.CreateContainerRequest
    | nri_pb2.StateChangeEvent
)


def call(request: Request) -> Call | UnknownMethod:
    """Tell what a request means.

    Raises:
        NriProtocolError: its message is malformed, or speaks of no pod where one belongs.
    """
    read = _READERS.get(request.method) if request.service == SERVICE else None
    if read is None:
        return UnknownMethod(request.stream, f"{request.service}/{request.method}")
    return read(request)


def _configure(request: Request) -> Configure:
    body = parse(nri_pb2.ConfigureRequest, request.payload)
    timeout = body.request_timeout / 1000 if body.request_timeout > 0 else None
    return Configure(request.stream, body.runtime_name, body.runtime_version, timeout)


def _synchronize(request: Request) -> Synchronize:
    body = parse(nri_pb2.SynchronizeRequest, request.payload)
    return Synchronize(request.stream, tuple(map(pod_sandbox, body.pods)), body.more)


def _shutdown(request: Request) -> Shutdown:
    return Shutdown(request.stream)


def _state_change(request: Request) -> LifecycleEvent | OtherStateChange:
    body = parse(nri_pb2.StateChangeEvent, request.payload)
    if int(body.event) not in _MOMENTS:
        return OtherStateChange(request.stream)
    return _lifecycle(request.stream, Lifecycle(body.event), body)


def _method_of(moment: Lifecycle, kind: type[_AboutAPod]) -> Callable[[Request], LifecycleEvent]:
    return lambda request: _lifecycle(request.stream, moment, parse(kind, request.payload))


def _lifecycle(stream: int, moment: Lifecycle, body: _AboutAPod) -> LifecycleEvent:
    if not body.HasField("pod"):
        raise NriProtocolError(f"{moment.name} without a pod")
    return LifecycleEvent(stream, moment, pod_sandbox(body.pod))


_MOMENTS: Final = frozenset(map(int, Lifecycle))
_READERS: Final = MappingProxyType[str, Callable[[Request], Call]](
    {
        "Configure": _configure,
        "Synchronize": _synchronize,
        "Shutdown": _shutdown,
        "StateChange": _state_change,
        "RunPodSandbox": _method_of(Lifecycle.RUN_POD_SANDBOX, nri_pb2.RunPodSandboxRequest),
        "StopPodSandbox": _method_of(Lifecycle.STOP_POD_SANDBOX, nri_pb2.StopPodSandboxRequest),
        "RemovePodSandbox": _method_of(
            Lifecycle.REMOVE_POD_SANDBOX, nri_pb2.RemovePodSandboxRequest
        ),
        "CreateContainer": _method_of(Lifecycle.CREATE_CONTAINER, nri_pb2.CreateContainerRequest),
    }
)
"""Up to NRI 0.11 sandboxes come as state changes, in newer runtimes as methods of their own."""
