"""The objects stay as the API server has them, through everything that happens to it and to us."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from capture_agent.informers import STEADY, Informer, Key
from capture_agent.kube_client import KubeClient, Timeouts
from capture_agent.retry_delays import RetryDelays
from capture_api.meta import ObjectMeta
from capture_api.wire import WireStruct, decode
from unit.capture_agent.api_server import (
    Step,
    breaks_off,
    event,
    fails,
    lists,
    playing,
    raw_object,
    streams,
    streams_and_hangs,
)

PATH = "/apis/example.io/v1/things"


class Thing(WireStruct, frozen=True):
    """An object with a color."""

    metadata: ObjectMeta
    color: str = ""


class Followed:
    """An informer whose changes and pauses are seen, in a time that only pauses and tests move."""

    def __init__(self, client: KubeClient) -> None:
        self.now = 0.0
        self.on_change: Callable[[Key], None] = lambda _: None
        self.changes: asyncio.Queue[Key] = asyncio.Queue()
        self.pauses: asyncio.Queue[float] = asyncio.Queue()
        self.informer = Informer(
            client,
            PATH,
            lambda raw: decode(raw, Thing),
            on_change=self._changed,
            params={"labelSelector": "a=b"},
            clock=lambda: self.now,
            sleep=self._sleep,
            delays=RetryDelays(jitter=lambda: 0.0),
        )

    def _changed(self, key: Key) -> None:
        self.on_change(key)
        self.changes.put_nowait(key)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.put_nowait(seconds)
        await asyncio.sleep(0)

    async def changed(self, count: int) -> list[str]:
        """The names of the next changes."""
        return [(await self.changes.get())[1] for _ in range(count)]

    async def paused(self, count: int) -> list[float]:
        """The next pauses."""
        return [await self.pauses.get() for _ in range(count)]

    @property
    def colors(self) -> dict[str, str]:
        """What is held: the color by name."""
        return {name: thing.color for (_, name), thing in self.informer.objects.items()}


@asynccontextmanager
async def following(
    *script: Step, timeouts: Timeouts | None = None
) -> AsyncIterator[tuple[Followed, list[dict[str, str]]]]:
    """Follow an API server that plays this script; gives the queries of its requests, too."""
    async with playing(*script, timeouts=timeouts) as (server, client):
        followed = Followed(client)
        running = asyncio.create_task(followed.informer.run())
        queries: list[dict[str, str]] = []
        try:
            yield followed, queries
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            queries += [request.query for request in server.received]


def kinds_of(queries: list[dict[str, str]]) -> list[str]:
    """What was asked for: a list, or a watch from a version."""
    return [
        f"watch {query['resourceVersion']}" if "watch" in query else "list" for query in queries
    ]


async def test_objects_are_listed_and_then_followed() -> None:
    """Added, modified, deleted: each is announced after it is visible."""
    script = (
        lists(raw_object("a", color="red"), version="5"),
        streams_and_hangs(
            event("ADDED", raw_object("b", "6", color="blue")),
            event("MODIFIED", raw_object("a", "7", color="green")),
            event("DELETED", raw_object("b", "8", color="blue")),
        ),
    )
    async with following(*script) as (followed, queries):
        assert await followed.changed(4) == ["a", "b", "a", "b"]
        assert followed.informer.synced.is_set()
        assert followed.colors == {"a": "green"}
    assert kinds_of(queries) == ["list", "watch 5"]
    assert all(query["labelSelector"] == "a=b" for query in queries)


async def test_what_an_earlier_process_knew_holds_until_the_first_list() -> None:
    """Then the list holds: what it doesn't have is gone, and everything in it is announced."""
    async with following(fails(503), lists(raw_object("a", color="red"))) as (followed, _):
        known = Thing(metadata=ObjectMeta(name="a", uid="u"), color="old")
        followed.informer.begin_with({("demo", "a"): known, ("demo", "b"): known})
        await followed.paused(1)
        assert followed.colors == {"a": "old", "b": "old"}
        assert await followed.changed(2) == ["b", "a"]
        assert followed.colors == {"a": "red"}


async def test_an_empty_collection_is_synced() -> None:
    """Nothing there is known, too."""
    async with following(lists()) as (followed, _):
        await followed.informer.synced.wait()
        assert followed.informer.objects == {}


async def test_it_is_not_synced_before_the_whole_list_is_there() -> None:
    """Half a list is no list."""
    script = lists(raw_object("a"), more="next"), breaks_off
    async with following(*script) as (followed, _):
        await followed.paused(1)
        assert not followed.informer.synced.is_set()
        assert followed.informer.objects == {}


async def test_a_watch_goes_on_where_it_ended() -> None:
    """From the last event or bookmark, without a list."""
    script = (
        lists(version="5"),
        streams(event("ADDED", raw_object("a", "6"))),
        streams(event("BOOKMARK", {"metadata": {"resourceVersion": "9"}})),
    )
    async with following(*script) as (followed, queries):
        assert await followed.paused(2) == [0.1, 0.2]
        assert await followed.changed(1) == ["a"]
    assert kinds_of(queries)[:3] == ["list", "watch 5", "watch 6"]
    assert set(kinds_of(queries)[3:]) <= {"watch 9"}


@pytest.mark.parametrize("trouble", [breaks_off, fails(429), fails(503), streams(b"junk\n")])
async def test_a_lost_or_overloaded_server_is_not_asked_for_a_list(trouble: Step) -> None:
    """The version is still good, and a list is what an overloaded server needs least."""
    script = lists(version="5"), trouble, streams(event("ADDED", raw_object("a", "6")))
    async with following(*script) as (followed, queries):
        await followed.changed(1)
    assert kinds_of(queries)[:3] == ["list", "watch 5", "watch 5"]


@pytest.mark.parametrize(
    "refusal",
    [
        fails(410, "Expired"),
        streams(event("ERROR", {"code": 410, "reason": "Expired"})),
        streams(event("ERROR", {"code": 500, "reason": "InternalError"})),
        streams(event("ERROR", {"code": 503, "reason": "ServiceUnavailable"})),
        streams(event("ERROR", {})),
        fails(500),
        fails(400),
    ],
)
async def test_a_refused_version_means_a_new_list(refusal: Step) -> None:
    """410 as an answer or as an event, and whatever else isn't about load."""
    script = lists(version="5"), refusal, lists(raw_object("a"), version="90")
    async with following(*script) as (followed, queries):
        await followed.changed(1)
        await followed.paused(1)
    assert kinds_of(queries)[:3] == ["list", "watch 5", "list"]


async def test_what_happened_while_away_is_found_by_the_list() -> None:
    """Gone, changed, new and recreated objects are announced; the unchanged one isn't."""
    script = (
        lists(*(raw_object(name, color="old") for name in ("same", "gone", "edited", "reborn"))),
        fails(410),
        lists(
            raw_object("same", color="old"),
            raw_object("edited", version="2", color="new"),
            raw_object("reborn", uid="another", color="old"),
            raw_object("fresh", color="new"),
        ),
    )
    async with following(*script) as (followed, _):
        await followed.changed(4)
        assert sorted(await followed.changed(4)) == ["edited", "fresh", "gone", "reborn"]
        assert followed.changes.empty()
        assert followed.colors == {"same": "old", "edited": "new", "reborn": "old", "fresh": "new"}
        assert followed.informer.objects["demo", "reborn"].metadata.uid == "another"


async def test_objects_stay_while_the_server_is_away() -> None:
    """The data plane outlives the control plane."""
    script = lists(raw_object("a", color="red")), *[breaks_off] * 3, *[fails(500)] * 3
    async with following(*script) as (followed, _):
        await followed.changed(1)
        await followed.paused(6)
        assert followed.colors == {"a": "red"}
        assert followed.informer.synced.is_set()
        assert followed.changes.empty()


async def test_attempts_back_off_while_the_server_fails() -> None:
    """A burst of 500 is met by ever longer pauses."""
    async with following(*[fails(500)] * 5, lists(raw_object("a"))) as (followed, _):
        assert await followed.paused(5) == [0.1, 0.2, 0.4, 0.8, 1.6]
        assert await followed.changed(1) == ["a"]


@pytest.mark.parametrize("status", [429, 503])
async def test_the_server_says_when_to_come_back(status: int) -> None:
    """Retry-After is honoured, and spread."""
    async with following(fails(status, Retry_After="7"), lists()) as (followed, _):
        assert await followed.paused(1) == [7.1]
        await followed.informer.synced.wait()


async def test_watches_that_end_at_once_do_not_spin() -> None:
    """A server that ends each watch right away is a server in trouble, though it never fails."""
    async with following(lists(), *[streams()] * 4) as (followed, _):
        assert await followed.paused(4) == [0.1, 0.2, 0.4, 0.8]


async def test_a_watch_that_lasted_starts_the_back_off_over() -> None:
    """After a quiet time the next disconnection is the first again."""
    script = (
        *[fails(500)] * 3,
        lists(),
        streams(event("ADDED", raw_object("a"))),
        streams(event("ADDED", raw_object("b"))),
    )
    async with following(*script) as (followed, _):
        followed.on_change = lambda _: setattr(followed, "now", followed.now + STEADY)
        assert await followed.paused(5) == [0.1, 0.2, 0.4, 0.1, 0.1]


async def test_a_stream_that_hangs_is_opened_again() -> None:
    """Events after the silence arrive by the next stream."""
    script = (
        lists(version="5"),
        streams_and_hangs(),
        streams(event("ADDED", raw_object("a", "6"))),
    )
    timeouts = Timeouts(watch=0.0, watch_grace=0.05)
    async with following(*script, timeouts=timeouts) as (followed, queries):
        assert await followed.changed(1) == ["a"]
    assert kinds_of(queries)[:3] == ["list", "watch 5", "watch 5"]


async def test_an_object_that_cannot_be_decoded_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is named with its field, logged once for all times it comes, and hinders nobody."""
    bad = raw_object("bad", "6", color=["not", "text"])
    script = (
        lists(bad, raw_object("good", color="red"), version="5"),
        streams(event("MODIFIED", bad), event("ADDED", raw_object("next", "7"))),
        fails(410),
        lists({**bad, "spec": "changed"}, raw_object("good", color="red"), version="8"),
    )
    with caplog.at_level(logging.WARNING):
        async with following(*script) as (followed, _):
            await followed.changed(5)
            assert followed.colors == {"good": "red"}
            assert list(followed.informer.malformed) == [("demo", "bad")]
            assert "$.color" in followed.informer.malformed["demo", "bad"]
    assert [record.message.count("left out") for record in caplog.records].count(1) == 1


async def test_an_object_that_becomes_readable_comes_in_and_out() -> None:
    """What can't be read now isn't shown as it was, and comes back when it can be."""
    script = (
        lists(raw_object("a", "1", color="red")),
        streams_and_hangs(
            event("MODIFIED", raw_object("a", "2", color=1)),
            event("MODIFIED", raw_object("a", "3", color="blue")),
        ),
    )
    async with following(*script) as (followed, _):
        seen: list[dict[str, str]] = []
        followed.on_change = lambda _: seen.append(followed.colors)
        await followed.changed(3)
        assert seen == [{"a": "red"}, {}, {"a": "blue"}]
        assert followed.informer.malformed == {}


@pytest.mark.parametrize("raw", [{}, {"metadata": None}, {"metadata": {"name": 1}}])
async def test_an_object_without_a_name_breaks_nothing(raw: dict[str, object]) -> None:
    """Not even what every object has is taken for granted."""
    script = lists(), streams_and_hangs(event("ADDED", raw), event("ADDED", raw_object("a")))
    async with following(*script) as (followed, _):
        assert await followed.changed(2) == ["", "a"]
        assert list(followed.colors) == ["a"]
        assert len(followed.informer.malformed) == 1


async def test_a_malformed_object_that_is_deleted_is_forgotten() -> None:
    """It is no longer counted."""
    bad = raw_object("bad", color=1)
    script = lists(bad), streams_and_hangs(event("DELETED", bad))
    async with following(*script) as (followed, _):
        await followed.changed(2)
        assert followed.informer.malformed == {}


async def test_the_last_contact_is_known() -> None:
    """By lists, events and bookmarks; None before the first."""
    script = (
        fails(500),
        lists(),
        streams_and_hangs(event("BOOKMARK", {"metadata": {}}), event("ADDED", raw_object("a"))),
    )
    async with following(*script) as (followed, _):
        assert followed.informer.last_contact is None
        followed.now = 3.0
        await followed.changed(1)
        assert followed.informer.last_contact == 3.0
