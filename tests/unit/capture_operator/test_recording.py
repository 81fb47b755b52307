"""Events: one object per capture, type and reason, with a count."""

from capture_api.meta import ObjectMeta
from capture_operator.happenings import EventType, Happening
from capture_operator.recording import EVERY, FORGET_AFTER, Recorder, SeriesKey
from capture_operator.resources import EVENTS
from unit.capture_operator.fake_api_server import FakeApiServer
from unit.capture_operator.objects import EPOCH

WEB = ObjectMeta(name="web", namespace="demo", uid="uid-web", resource_version="7")
DRIFTED = Happening(EventType.WARNING, "Drifted", "pod a: Flushed")
KEY = SeriesKey("uid-web", EventType.WARNING, "Drifted")


class Desk:
    """A recorder with a clock and an API server of its own."""

    def __init__(self) -> None:
        self.now = EPOCH
        self.server = FakeApiServer()
        self.due: list[SeriesKey] = []
        self.recorder = Recorder(
            api=self.server,
            instance="operator-0",
            clock=lambda: self.now,
            token=lambda: str(int(self.now)),
            enqueue=self.due.append,
        )

    def counts(self) -> list[int]:
        """How often each Event happened, as a user reads it."""
        return [raw["count"] for raw in self.server.all(EVENTS)]


async def test_an_event_says_who_tells_what_about_whom() -> None:
    """As `kubectl describe` shows it."""
    desk = Desk()
    desk.recorder.note(WEB, DRIFTED)
    assert desk.due == [KEY]
    await desk.recorder.post(KEY)
    (event,) = desk.server.all(EVENTS)
    assert event["metadata"]["namespace"] == "demo"
    assert event["involvedObject"]["kind"] == "TrafficCapture"
    assert event["involvedObject"]["uid"] == "uid-web"
    assert (event["type"], event["reason"]) == ("Warning", "Drifted")
    assert event["message"] == "pod a: Flushed"
    assert event["reportingComponent"] == "traffic-capture-operator"
    assert event["reportingInstance"] == "operator-0"


async def test_what_happens_again_is_counted_and_written_every_thirty_seconds() -> None:
    """Nothing that happened in between is lost."""
    desk = Desk()
    desk.recorder.note(WEB, DRIFTED)
    assert await desk.recorder.post(KEY) == EVERY
    for _ in range(3):
        desk.now += 5
        desk.recorder.note(WEB, DRIFTED)
        assert await desk.recorder.post(KEY) == EVERY - (desk.now - EPOCH)
    assert desk.counts() == [1]
    desk.now = EPOCH + EVERY
    await desk.recorder.post(KEY)
    assert desk.counts() == [4]


async def test_different_reasons_are_different_events() -> None:
    """And don't wait for each other."""
    desk = Desk()
    desk.recorder.note(WEB, DRIFTED)
    desk.now += 1
    desk.recorder.note(WEB, Happening(EventType.NORMAL, "Repaired", "once"))
    for key in desk.due:
        await desk.recorder.post(key)
    assert desk.counts() == [1, 1]


async def test_after_a_quiet_time_a_new_event_begins() -> None:
    """An old count would say little."""
    desk = Desk()
    desk.recorder.note(WEB, DRIFTED)
    await desk.recorder.post(KEY)
    desk.now += FORGET_AFTER + 1
    desk.recorder.note(WEB, DRIFTED)
    await desk.recorder.post(KEY)
    assert desk.counts() == [1, 1]


async def test_a_series_without_news_is_forgotten() -> None:
    """Captures come and go; their Events must not pile up in memory."""
    desk = Desk()
    desk.recorder.note(WEB, DRIFTED)
    await desk.recorder.post(KEY)
    left = await desk.recorder.post(KEY)
    assert left == FORGET_AFTER
    desk.now += FORGET_AFTER
    assert await desk.recorder.post(KEY) is None
    assert desk.recorder._series == {}
