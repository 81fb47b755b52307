"""The runtime's side of the protocol, encoded and decoded by hand."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from capture_nri import nri_pb2, ttrpc_pb2

PLUGIN = "nri.pkg.api.v1alpha1.Plugin"
UID = "94032cf8-c997-4d2b-abcc-4108a7f92948"


def frame(connection: int, payload: bytes) -> bytes:
    """Frame a payload of one connection."""
    return struct.pack(">II", connection, len(payload)) + payload


def message(stream: int, kind: int, body: bytes, flags: int = 0) -> bytes:
    """Put the header of ttrpc before a body."""
    return struct.pack(">IIBB", len(body), stream, kind, flags) + body


def request(
    stream: int, method: str, body: Message | bytes = b"", *, service: str = PLUGIN
) -> bytes:
    """Encode a call, not framed yet."""
    payload = body if isinstance(body, bytes) else body.SerializeToString()
    called = ttrpc_pb2.Request(service=service, method=method, payload=payload)
    return message(stream, 1, called.SerializeToString())


def call(stream: int, method: str, body: Message | bytes = b"", *, service: str = PLUGIN) -> bytes:
    """Encode a call in one frame."""
    return frame(1, request(stream, method, body, service=service))


def registered(code: int = 0, text: str = "") -> bytes:
    """Answer a plugin's registration."""
    status = ttrpc_pb2.Status(code=code, message=text) if code else None
    return frame(2, message(1, 2, ttrpc_pb2.Response(status=status).SerializeToString()))


def configure(stream: int = 1, request_timeout: int = 2000) -> bytes:
    """Tell the plugin which runtime this is."""
    body = nri_pb2.ConfigureRequest(
        runtime_name="containerd", runtime_version="v2.2.1", request_timeout=request_timeout
    )
    return call(stream, "Configure", body)


def synchronize(stream: int, *pods: nri_pb2.PodSandbox, more: bool = False) -> bytes:
    """Tell the plugin a page of what runs."""
    return call(stream, "Synchronize", nri_pb2.SynchronizeRequest(pods=pods, more=more))


def state_change(stream: int, event: int, pod: nri_pb2.PodSandbox | None) -> bytes:
    """Tell the plugin of a moment in a sandbox's life, as containerd 2.2 does."""
    body = nri_pb2.StateChangeEvent(pod=pod)
    # A number that our enum may not have: enums of proto3 are open.
    body.MergeFromString(b"\x08" + bytes([event]))
    return call(stream, "StateChange", body)


def run_pod_sandbox(stream: int, pod: nri_pb2.PodSandbox) -> bytes:
    """Tell the plugin of a start, as newer runtimes do."""
    return call(stream, "RunPodSandbox", nri_pb2.RunPodSandboxRequest(pod=pod))


def containerd_pod(name: str = "web", **changes: Any) -> nri_pb2.PodSandbox:  # noqa: ANN401
    """Describe a sandbox as containerd 2.2.1 does."""
    network = nri_pb2.LinuxNamespace(
        type="network", path="/var/run/netns/cni-9d3b8d1c-67e0-9c3c-8a5c-1f7a3d3f2c10"
    )
    others = [nri_pb2.LinuxNamespace(type=kind) for kind in ("pid", "ipc", "uts", "mount")]
    fields: dict[str, Any] = {
        "id": "e13618c8db85ed2ccfc1a6dff7a44246fa38f83f0911662cd037414e9fe06673",
        "name": name,
        "uid": UID,
        "namespace": "demo",
        "labels": {"app": "web", "io.cri-containerd.kind": "sandbox"},
        "annotations": {"kubernetes.io/config.source": "api"},
        "linux": nri_pb2.LinuxPodSandbox(namespaces=[*others, network]),
        "pid": 11168,
        "ips": ["10.244.0.7", "fd00:10:244::7"],
    }
    return nri_pb2.PodSandbox(**(fields | changes))


@dataclass(frozen=True, slots=True)
class Said:
    """What a plugin said: an answer (`kind` 2), or its own call (1)."""

    connection: int
    stream: int
    kind: int
    body: bytes

    @property
    def answer(self) -> ttrpc_pb2.Response:
        """The answer's envelope."""
        assert self.kind == 2
        return ttrpc_pb2.Response.FromString(self.body)

    @property
    def request(self) -> ttrpc_pb2.Request:
        """The envelope of the plugin's own call."""
        assert self.kind == 1
        return ttrpc_pb2.Request.FromString(self.body)


def said(data: bytes) -> Iterator[Said]:
    """Decode what a plugin sent: one message a frame."""
    while data:
        connection, size = struct.unpack_from(">II", data)
        length, stream, kind, flags = struct.unpack_from(">IIBB", data, 8)
        assert (size, flags) == (length + 10, 0)
        yield Said(connection, stream, kind, data[18 : 8 + size])
        data = data[8 + size :]
