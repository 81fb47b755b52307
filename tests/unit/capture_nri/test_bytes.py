"""Whatever arrives, however it was cut: the same events, or a NriProtocolError and nothing else."""

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from capture_nri import nri_pb2
from capture_nri.errors import NriProtocolError
from capture_nri.events import Event, Registered, RegistrationRefused, UnknownMethod
from capture_nri.pod_sandboxes import pod_sandbox
from capture_nri.session import PluginSession
from unit.capture_nri.runtime_side import (
    call,
    configure,
    containerd_pod,
    frame,
    message,
    registered,
    request,
    run_pod_sandbox,
    state_change,
    synchronize,
)

CONVERSATION = b"".join(
    (
        configure(1),
        registered(),
        synchronize(3, containerd_pod(), more=True),
        synchronize(5),
        state_change(7, 1, containerd_pod("a")),
        run_pod_sandbox(9, containerd_pod("b")),
        call(11, "PostCreateContainer"),
        state_change(13, 3, containerd_pod("a")),
        call(15, "Shutdown"),
    )
)
METHODS = ("Configure", "Synchronize", "StateChange", "RunPodSandbox", "CreateContainer", "Nope")

streams = st.integers(0, 6) | st.integers(0, 2**32 - 1)
bodies = st.binary(max_size=60) | st.just(
    nri_pb2.RunPodSandboxRequest(pod=containerd_pod()).SerializeToString()
)
requests = st.builds(request, streams, st.sampled_from(METHODS), bodies)
messages = requests | st.builds(
    message, streams, st.integers(0, 4), bodies, flags=st.integers(0, 2)
)
frames = st.builds(frame, st.integers(0, 3), messages | st.binary(max_size=40))
text = st.text(max_size=8)


def answered(chunks: Iterable[bytes]) -> tuple[list[Event], str]:
    """Feed a session, answer everything; give its events, and what ended it."""
    session = PluginSession()
    session.register("traffic-capture", "10")
    events = []
    try:
        for chunk in chunks:
            for event in session.receive(chunk):
                events.append(event)
                match event:
                    case Registered() | RegistrationRefused():
                        pass
                    case UnknownMethod():
                        session.unimplemented(event)
                    case _:
                        session.accept(event)
    except NriProtocolError as error:
        return events, str(error)
    return events, ""


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut bytes at these places."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.lists(st.integers(0, len(CONVERSATION)), max_size=30))
def test_how_a_conversation_is_cut_makes_no_difference(places: list[int]) -> None:
    """The same events, whether bytes come one by one or all at once."""
    whole = answered([CONVERSATION])
    assert len(whole[0]) == 9
    assert whole[1] == ""
    assert answered(cut(CONVERSATION, places)) == whole


@given(st.lists(frames, max_size=6).map(b"".join), st.lists(st.integers(0, 400), max_size=6))
def test_forged_frames_are_an_error_or_events(data: bytes, places: list[int]) -> None:
    """And how they are cut makes no difference to either."""
    assert answered(cut(data, places)) == answered([data])


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_bytes_are_an_error_or_events(chunks: list[bytes]) -> None:
    """Nothing else is ever raised."""
    answered(chunks)


@given(
    st.integers(0, len(CONVERSATION) - 1),
    st.integers(0, 255),
)
def test_one_wrong_byte_is_an_error_or_events(place: int, value: int) -> None:
    """Wherever it is, in headers or bodies."""
    damaged = bytearray(CONVERSATION)
    damaged[place] = value
    answered([bytes(damaged)])


@given(st.integers(0, len(CONVERSATION) - 1))
def test_what_was_cut_off_is_waited_for(length: int) -> None:
    """A truncated conversation gives the events that are whole, and no error."""
    events, error = answered([CONVERSATION[:length]])
    assert events == answered([CONVERSATION])[0][: len(events)]
    assert error == ""


@given(
    st.builds(
        nri_pb2.PodSandbox,
        id=text,
        name=text,
        uid=text,
        namespace=text,
        labels=st.dictionaries(text, text, max_size=3),
        annotations=st.dictionaries(text, text, max_size=3),
        runtime_handler=text,
        pid=st.integers(0, 2**32 - 1),
        ips=st.lists(text, max_size=3),
    )
)
def test_any_sandbox_arrives_as_it_was_told(described: nri_pb2.PodSandbox) -> None:
    """Over the wire and back."""
    (event,), _ = answered([run_pod_sandbox(1, described)])
    assert getattr(event, "sandbox", None) == pod_sandbox(described)
