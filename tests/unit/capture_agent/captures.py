"""Captures, pods and records for the agent's tests."""

from capture_agent.desired import Capture
from capture_agent.records import PodRecord
from capture_agent.sandboxes import Sandbox
from capture_api.capture_programs import CaptureProgramSpec
from capture_api.captures import DriftPolicy, Mode
from capture_api.node_captures import DispatchedPod, NetnsIdentity, ProgramRef
from capture_api.ports import PortRange
from capture_api.programs import (
    Inbound,
    InboundTerm,
    Loopback,
    Outbound,
    Program,
    Proxy,
    program_hash,
)
from capture_api.selection import LabelSelector

POD_UID = "0f7f1f0e-6a53-4c0b-9d0e-2f4ad3c0ffee"
CAPTURE_UID = "6a3f0f6c-0000-4000-8000-000000000001"
OTHER_CAPTURE_UID = "6a3f0f6c-0000-4000-8000-000000000002"
POD_IP = "10.9.8.7"

SANDBOX = Sandbox(
    pod_uid=POD_UID,
    pid=4711,
    start_time=123,
    netns=NetnsIdentity(device=4, inode=4026532001),
    pod_ips=(POD_IP,),
)


def program(prefix: str = "ISTIO", port: str = "80") -> Program:
    """Build the reference program, or one like it."""
    return Program(
        chain_prefix=prefix,
        proxy=Proxy(uids=(1337,), gids=(1337,)),
        inbound=Inbound(
            redirect_port=15001, include=(InboundTerm(ports=(PortRange.parse(port),)),)
        ),
        outbound=Outbound(redirect_port=15001, loopback=Loopback.REDIRECT),
    )


def program_spec(what: Program | None = None, **changes: object) -> CaptureProgramSpec:
    """Build what the operator resolved, with these fields changed."""
    what = what or program()
    fields: dict[str, object] = {
        "schema_version": 1,
        "capture_uid": CAPTURE_UID,
        "capture_generation": 1,
        "selector": LabelSelector(),
        "priority": 0,
        "mode": Mode.ENFORCE,
        "suspend": False,
        "drift_policy": DriftPolicy.REPAIR,
        "program": what,
        "hash": program_hash(what),
    }
    return CaptureProgramSpec(**{**fields, **changes})  # type: ignore[arg-type]


def capture(what: Program | None = None, **changes: object) -> Capture:
    """Decide that a pod is to hold a program."""
    return Capture(program_spec(what, **changes))


def ref(spec: CaptureProgramSpec | None = None, name: str = "web") -> ProgramRef:
    """Refer to a program as a dispatch does."""
    spec = spec or program_spec()
    return ProgramRef(
        name=name, capture_uid=spec.capture_uid, generation=spec.capture_generation, hash=spec.hash
    )


def dispatched(
    to: ProgramRef | None, uid: str = POD_UID, *, host_network: bool = False
) -> DispatchedPod:
    """Dispatch a pod to a program, or to none."""
    return DispatchedPod(
        uid=uid,
        namespace="demo",
        name=f"web-{uid[:4]}",
        pod_ips=(POD_IP,),
        host_network=host_network,
        program=to,
    )


def record(spec: CaptureProgramSpec | None = None, uid: str = POD_UID) -> PodRecord:
    """Begin the record of a pod that is dispatched to a program."""
    return PodRecord(pod=dispatched(ref(spec), uid))
