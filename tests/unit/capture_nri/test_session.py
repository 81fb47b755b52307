"""A plugin's session understands what runtimes say, and answers in their terms."""

import pytest

from capture_nri import nri_pb2
from capture_nri.errors import NriProtocolError
from capture_nri.events import (
    Configure,
    Event,
    Lifecycle,
    LifecycleEvent,
    OtherStateChange,
    Registered,
    RegistrationRefused,
    Shutdown,
    Synchronize,
    UnknownMethod,
)
from capture_nri.pod_sandboxes import pod_sandbox
from capture_nri.session import LONGEST_MESSAGE, MOST_CALLS, PluginSession
from unit.capture_nri.runtime_side import (
    PLUGIN,
    call,
    configure,
    containerd_pod,
    frame,
    message,
    registered,
    request,
    run_pod_sandbox,
    said,
    state_change,
    synchronize,
)

POD = containerd_pod()

CONTAINERD_2_2_1 = bytes.fromhex(
    "000000020000000a00000000000000010200"
    "00000001000000540000004a0000000101000a1b6e72692e706b672e6170692e7631616c706861312e506c75"
    "67696e1209436f6e6669677572651a1a120a636f6e7461696e6572641a0676322e322e3120882728d00f20cd"
    "dfcdb907"
)
"""How containerd 2.2.1 answers a registration: recorded."""


def registering() -> PluginSession:
    """Begin a session."""
    session = PluginSession()
    session.register("traffic-capture", "10")
    return session


def heard(*data: bytes) -> list[Event]:
    """Tell what a session makes of these bytes."""
    return list(registering().receive(b"".join(data)))


def test_a_plugin_registers_with_the_runtime_service() -> None:
    """Name and index, as a call of our own on the runtime's connection."""
    (asked,) = said(PluginSession().register("traffic-capture", "10"))
    assert (asked.connection, asked.stream) == (2, 1)
    assert asked.request.service == "nri.pkg.api.v1alpha1.Runtime"
    assert asked.request.method == "RegisterPlugin"
    registration = nri_pb2.RegisterPluginRequest.FromString(asked.request.payload)
    assert (registration.plugin_name, registration.plugin_idx) == ("traffic-capture", "10")


def test_containerd_is_understood() -> None:
    """Its recorded words: taken, and configured."""
    assert heard(CONTAINERD_2_2_1) == [Registered(), Configure(1, "containerd", "v2.2.1", 2.0)]


def test_a_refused_registration_says_why() -> None:
    """With the runtime's own words."""
    assert heard(registered(2, "invalid plugin index")) == [
        RegistrationRefused(2, "invalid plugin index")
    ]


def test_an_older_runtime_does_not_tell_its_timeout() -> None:
    """The field is missing in what containerd 1.7 says."""
    assert heard(configure(request_timeout=0)) == [Configure(1, "containerd", "v2.2.1", None)]


def test_accepting_a_configuration_subscribes_to_sandboxes_and_containers() -> None:
    """The mask has the bits of run, stop and remove sandbox, and create container."""
    session = registering()
    (event,) = session.receive(configure())
    assert isinstance(event, Configure)
    (answer,) = said(session.accept(event))
    assert (answer.connection, answer.stream) == (1, 1)
    assert nri_pb2.ConfigureResponse.FromString(answer.answer.payload).events == 0b1111


@pytest.mark.parametrize("more", [True, False])
def test_a_page_of_sandboxes_is_answered_in_kind(*, more: bool) -> None:
    """A plugin that doesn't repeat `more` is dropped by the runtime."""
    session = registering()
    (event,) = session.receive(synchronize(1, POD, containerd_pod("db"), more=more))
    assert event == Synchronize(1, (pod_sandbox(POD), pod_sandbox(containerd_pod("db"))), more)
    (answer,) = said(session.accept(event))
    assert nri_pb2.SynchronizeResponse.FromString(answer.answer.payload).more is more


@pytest.mark.parametrize("moment", Lifecycle)
def test_moments_come_as_state_changes(moment: Lifecycle) -> None:
    """As containerd up to 2.2 tells of sandboxes."""
    assert heard(state_change(1, moment, POD)) == [LifecycleEvent(1, moment, pod_sandbox(POD))]


@pytest.mark.parametrize(
    ("method", "moment"),
    [
        ("RunPodSandbox", Lifecycle.RUN_POD_SANDBOX),
        ("StopPodSandbox", Lifecycle.STOP_POD_SANDBOX),
        ("RemovePodSandbox", Lifecycle.REMOVE_POD_SANDBOX),
        ("CreateContainer", Lifecycle.CREATE_CONTAINER),
    ],
)
def test_moments_come_as_methods(method: str, moment: Lifecycle) -> None:
    """As newer runtimes tell of sandboxes, and all of containers; the rest is skipped."""
    container = b"\x12\x04\x0a\x02c1"
    body = nri_pb2.RunPodSandboxRequest(pod=POD).SerializeToString() + container
    assert heard(call(1, method, body)) == [LifecycleEvent(1, moment, pod_sandbox(POD))]


def test_a_moment_nobody_subscribed_to_is_accepted() -> None:
    """POST_CREATE_CONTAINER and what may come after it."""
    assert heard(state_change(1, 5, POD), state_change(3, 99, None)) == [
        OtherStateChange(1),
        OtherStateChange(3),
    ]


def test_the_runtime_ends() -> None:
    """Shutdown wants an answer like any call."""
    session = registering()
    (event,) = session.receive(call(1, "Shutdown"))
    assert event == Shutdown(1)
    (answer,) = said(session.accept(event))
    assert answer.answer.status.code == 0


@pytest.mark.parametrize(
    ("service", "method"),
    [(PLUGIN, "UpdatePodSandbox"), ("nri.pkg.api.v1beta1.Plugin", "RunPodSandbox")],
)
def test_an_unknown_method_is_unimplemented(service: str, method: str) -> None:
    """And the session goes on."""
    session = registering()
    (event,) = session.receive(call(1, method, service=service))
    assert event == UnknownMethod(1, f"{service}/{method}")
    (answer,) = said(session.unimplemented(event))
    assert answer.answer.status.code == 12
    assert method in answer.answer.status.message
    assert list(session.receive(call(3, "Shutdown"))) == [Shutdown(3)]


def test_a_refusal_carries_our_words() -> None:
    """As a failed precondition, on the stream of the call, at a length that an Event holds."""
    session = registering()
    (event,) = session.receive(run_pod_sandbox(7, POD))
    assert isinstance(event, LifecycleEvent)
    (answer,) = said(session.refuse(event, "not yet " * 1000))
    assert answer.stream == 7
    assert answer.answer.status.code == 9
    assert answer.answer.status.message == ("not yet " * 1000)[:LONGEST_MESSAGE]


def test_a_message_may_span_frames() -> None:
    """And a frame may hold several messages: the multiplexer carries a stream of bytes."""
    first, second = request(1, "Shutdown"), request(3, "Shutdown")
    whole = first + second
    cuts = (whole[:3], whole[3 : len(first) + 5], whole[len(first) + 5 :])
    assert heard(*(frame(1, cut) for cut in cuts)) == [Shutdown(1), Shutdown(3)]


def test_other_connections_are_skipped() -> None:
    """Nobody opened them: containerd's own plugins don't look either."""
    assert heard(frame(3, b"whatever"), call(1, "Shutdown")) == [Shutdown(1)]


@pytest.mark.parametrize(
    ("forged", "complaint"),
    [
        (frame(0, b""), "connection 0"),
        (b"\x00\x00\x00\x01\xff\xff\xff\xff", "frame of 4294967295 bytes"),
        (b"\x00\x00\x00\x01\x00\x40\x00\x0b", "frame of 4194315 bytes"),
        (frame(1, b"\x00\x40\x00\x01\x00\x00\x00\x01\x01\x00"), "message of 4194305 bytes"),
        (frame(1, message(1, 3, b"")), "type 3"),
        (frame(1, message(1, 1, b"", flags=1)), "flags 0x1"),
        (frame(1, message(2, 1, b"")), "stream 2"),
        (frame(1, message(0, 1, b"")), "stream 0"),
        (call(5, "Shutdown") + call(5, "Shutdown"), "stream 5 after 5"),
        (frame(1, message(1, 1, b"\xff")), "malformed Request"),
        (frame(2, message(1, 2, b"\xff")), "malformed Response"),
        (frame(2, message(3, 2, b"")), "to a call never made"),
        (registered() + registered(), "to a call never made"),
        (frame(1, message(1, 2, b"")), "wrong connection"),
        (frame(2, request(1, "Shutdown")), "wrong connection"),
        (call(1, "RunPodSandbox", b"\xff"), "malformed RunPodSandboxRequest"),
        (call(1, "RunPodSandbox", b"\x0a\x03\x0a\x01\xff"), "malformed RunPodSandboxRequest"),
        (call(1, "CreateContainer"), "CREATE_CONTAINER without a pod"),
        (state_change(1, 1, None), "RUN_POD_SANDBOX without a pod"),
    ],
)
def test_what_no_runtime_sends_ends_the_session(forged: bytes, complaint: str) -> None:
    """With an error that says what was wrong, and again when more arrives."""
    session = registering()
    with pytest.raises(NriProtocolError, match=complaint):
        list(session.receive(forged))
    with pytest.raises(NriProtocolError, match=complaint):
        list(session.receive(call(7, "Shutdown")))


def test_what_came_before_a_forged_frame_counts() -> None:
    """Its events are given before the error, even if all arrived at once."""
    events = registering().receive(call(1, "Shutdown") + frame(0, b""))
    assert next(events) == Shutdown(1)
    with pytest.raises(NriProtocolError):
        next(events)


def test_a_runtime_that_does_not_wait_is_bounded() -> None:
    """Calls that nobody answered can't grow without end."""
    session = registering()
    calls = b"".join(call(2 * n + 1, "Shutdown") for n in range(MOST_CALLS))
    assert len(list(session.receive(calls))) == MOST_CALLS
    with pytest.raises(NriProtocolError, match="without waiting"):
        list(session.receive(call(2 * MOST_CALLS + 1, "Shutdown")))


def test_answered_calls_make_room() -> None:
    """A session serves any number of calls, one after the other."""
    session = registering()
    for n in range(MOST_CALLS * 2):
        (event,) = session.receive(call(2 * n + 1, "Shutdown"))
        assert isinstance(event, Shutdown)
        session.accept(event)


def test_a_call_is_answered_once() -> None:
    """A second answer is our own mistake."""
    session = registering()
    (event,) = session.receive(call(1, "Shutdown"))
    assert isinstance(event, Shutdown)
    session.accept(event)
    with pytest.raises(KeyError):
        session.accept(event)


def test_the_largest_message_is_taken() -> None:
    """4 MiB, ttrpc's own limit."""
    largest = _of_size(4 << 20)
    assert heard(largest) == [Shutdown(1)]


def _of_size(size: int) -> bytes:
    """Encode a call whose message has a body of this many bytes."""
    padding = size - (len(request(1, "Shutdown", bytes(size))) - 10 - size)
    called = request(1, "Shutdown", bytes(padding))
    assert len(called) == size + 10
    return frame(1, called)
