"""Requests to an API server that is slow, hangs, refuses, rotates tokens and breaks off."""

import asyncio
import socket
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from capture_agent.kube_answers import WatchEvent
from capture_agent.kube_client import KubeClient, Timeouts, _keepalive_socket, connected
from capture_agent.kube_errors import ApiError, ApiUnavailableError
from capture_agent.service_account import ApiServer, TokenFile
from unit.capture_agent.api_server import (
    Step,
    answers,
    breaks_off,
    event,
    fails,
    line,
    lists,
    playing,
    raw_object,
    streams,
    streams_and_hangs,
)

PODS = "/api/v1/pods"
IMPATIENT = Timeouts(request=0.05, watch=0.0, watch_grace=0.05)


def name_of(raw: dict[str, Any]) -> str:
    """The name of a raw object."""
    name = raw["metadata"]["name"]
    assert isinstance(name, str)
    return name


async def watched(client: KubeClient, version: str = "1") -> list[WatchEvent]:
    """All events of a watch that ends."""
    async with aclosing(client.watch(PODS, version, {"fieldSelector": "x=y"})) as events:
        return [found async for found in events]


async def test_a_list_is_read_page_by_page() -> None:
    """Pages are joined, in order, with the version of the last."""
    pages = lists(raw_object("a"), raw_object("b"), more="t=1/2"), lists(raw_object("c"))
    async with playing(*pages, page_size=2) as (server, client):
        listing = await client.list(PODS, name_of, {"labelSelector": "app=web"})
    assert (listing.items, listing.resource_version) == (("a", "b", "c"), "1")
    assert [request.query for request in server.received] == [
        {"labelSelector": "app=web", "limit": "2"},
        {"labelSelector": "app=web", "limit": "2", "continue": "t=1/2"},
    ]


async def test_a_list_that_expires_under_way_starts_again() -> None:
    """A 410 for the second page begins anew: half a list would look like deletions."""
    script = (
        lists(raw_object("a"), more="old"),
        fails(410, "Expired"),
        lists(raw_object("b"), more="new"),
        lists(raw_object("c"), version="9"),
    )
    async with playing(*script) as (server, client):
        listing = await client.list(PODS, name_of)
    assert (listing.items, listing.resource_version) == (("b", "c"), "9")
    assert "continue" not in server.received[2].query


async def test_a_list_that_keeps_expiring_is_a_failure() -> None:
    """The second 410 is left to whoever backs off."""
    once = lists(raw_object("a"), more="old"), fails(410, "Expired")
    async with playing(*once, *once) as (_, client):
        with pytest.raises(ApiError, match="410 Expired"):
            await client.list(PODS, name_of)


async def test_a_failure_says_what_the_server_said() -> None:
    """Status, reason, message and Retry-After are in the error."""
    refusal = fails(429, "TooManyRequests", "slow down", Retry_After="4")
    async with playing(refusal) as (_, client):
        with pytest.raises(ApiError, match="429 TooManyRequests: slow down") as caught:
            await client.get(f"{PODS}/a")
    assert (caught.value.status, caught.value.retry_after) == (429, 4)


async def test_a_replacement_sends_json_and_gives_what_is_stored() -> None:
    """PUT of a subresource."""
    async with playing(answers(raw_object("a", version="2"))) as (server, client):
        stored = await client.replace("/apis/g/v1/things/a/status", {"status": {"x": 1}})
    assert stored["metadata"]["resourceVersion"] == "2"
    request = server.received[0]
    assert (request.method, request.path, request.body) == (
        "PUT",
        "/apis/g/v1/things/a/status",
        {"status": {"x": 1}},
    )


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    """The token never goes where an answer points."""
    (tmp_path / "token").write_text("secret")
    away = answers({}, 302, Location="/elsewhere")
    async with playing(away, token=TokenFile(tmp_path / "token")) as (server, client):
        with pytest.raises(ApiError, match="302"):
            await client.get(PODS)
    assert [request.path for request in server.received] == [PODS]


async def test_a_request_that_is_not_answered_ends() -> None:
    """A server that hangs is one that isn't there."""
    async with playing(timeouts=IMPATIENT) as (_, client):
        with pytest.raises(ApiUnavailableError, match="GET /api/v1/pods"):
            await client.get(PODS)


async def test_nobody_there() -> None:
    """A refused connection is unavailability, too."""
    async with connected(ApiServer("http://127.0.0.1:1")) as client:
        with pytest.raises(ApiUnavailableError, match="GET /api/v1/pods"):
            await client.get(PODS)


@pytest.mark.parametrize(
    "answer", [answers([]), answers({"metadata": {}}), streams(b"{"), breaks_off]
)
async def test_an_answer_that_is_not_a_list_is_unusable(answer: Step) -> None:
    """Whatever else answers at that address isn't believed."""
    async with playing(answer) as (_, client):
        with pytest.raises(ApiUnavailableError):
            await client.list(PODS, name_of)


async def test_events_come_in_order_until_the_server_ends_the_watch() -> None:
    """Bookmarks included; the request asks for them and for an end."""
    events = [event("ADDED", raw_object("a", "2")), event("BOOKMARK", {"metadata": {}})]
    async with playing(streams(*events)) as (server, client):
        found = await watched(client, version="1")
    assert [(each.type, each.object) for each in found] == [
        ("ADDED", raw_object("a", "2")),
        ("BOOKMARK", {"metadata": {}}),
    ]
    assert server.received[0].query == {
        "watch": "1",
        "resourceVersion": "1",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "180",
        "fieldSelector": "x=y",
    }


async def test_an_event_in_many_chunks_is_one_event() -> None:
    """A slow network cuts where it likes."""
    whole = line(event("ADDED", raw_object("a")))
    chunks = [whole[start : start + 7] for start in range(0, len(whole), 7)]
    async with playing(streams(*chunks)) as (_, client):
        assert [found.type for found in await watched(client)] == ["ADDED"]


async def test_an_event_may_be_as_large_as_etcd_stores() -> None:
    """1.5 MB in one line, with another behind it."""
    large = raw_object("a", spec={"text": "x" * 1_500_000})
    parts = event("ADDED", large), event("DELETED", raw_object("b"))
    async with playing(streams(*parts)) as (_, client):
        found = await watched(client)
    assert [each.type for each in found] == ["ADDED", "DELETED"]
    assert found[0].object == large


async def test_a_line_without_end_is_cut_off() -> None:
    """Memory is bounded whatever arrives."""
    async with playing(streams(*[b"x" * 1_000_000] * 9)) as (_, client):
        with pytest.raises(ApiUnavailableError, match="an event of more than"):
            await watched(client)


@pytest.mark.parametrize("junk", [b"<html>\n", b'{"type": "ADDED"}\n', b"[]\n"])
async def test_a_line_that_is_no_event_ends_the_watch(junk: bytes) -> None:
    """It isn't skipped: an event could be lost with it."""
    async with playing(streams(junk)) as (_, client):
        with pytest.raises(ApiUnavailableError):
            await watched(client)


async def test_a_watch_that_breaks_off_says_so() -> None:
    """A dropped connection differs from an orderly end."""
    async with playing(breaks_off) as (_, client):
        with pytest.raises(ApiUnavailableError):
            await watched(client)


async def test_a_watch_that_hangs_ends() -> None:
    """The server doesn't end it as asked: we do, with what came before delivered."""
    script = streams_and_hangs(event("ADDED", raw_object("a")))
    async with playing(script, timeouts=IMPATIENT) as (_, client):
        events = client.watch(PODS, "1")
        assert (await anext(events)).type == "ADDED"
        with pytest.raises(ApiUnavailableError):
            await anext(events)


async def test_a_watch_that_is_left_closes_its_connection() -> None:
    """Leaving early doesn't keep a stream open at the server."""
    gone = asyncio.Event()

    async def until_gone(request: web.Request, closing: asyncio.Event) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(line(event("BOOKMARK", {})))
        try:
            await closing.wait()
        finally:  # cancelled when the client is gone
            gone.set()
        return response

    async with playing(until_gone) as (_, client):
        async with aclosing(client.watch(PODS, "1")) as events:
            await anext(events)
        await gone.wait()


async def test_a_peer_that_vanishes_is_found_by_keepalive() -> None:
    """Within a minute: 30 s of silence and 3 probes, 10 s apart."""
    with _keepalive_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("", 0))) as connection:
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        times = [
            connection.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ]
        assert times == [30, 10, 3]


async def test_a_token_that_was_rotated_is_used_at_once(tmp_path: Path) -> None:
    """After a 401 the file is read again and the request repeated."""
    path = tmp_path / "token"
    path.write_text("old")

    async def rotates(request: web.Request, closing: asyncio.Event) -> web.StreamResponse:
        path.write_text("new")
        return await fails(401, "Unauthorized")(request, closing)

    async with playing(rotates, lists(), token=TokenFile(path)) as (server, client):
        await client.list(PODS, name_of)
    assert [request.authorization for request in server.received] == ["Bearer old", "Bearer new"]


async def test_a_token_that_is_refused_twice_is_a_failure(tmp_path: Path) -> None:
    """It is asked no third time; the next request reads the file again."""
    (tmp_path / "token").write_text("old")
    token = TokenFile(tmp_path / "token")
    refusals = fails(401, "Unauthorized"), fails(401, "Unauthorized")
    async with playing(*refusals, lists(), token=token) as (server, client):
        with pytest.raises(ApiError, match="401 Unauthorized"):
            await client.list(PODS, name_of)
        (tmp_path / "token").write_text("new")
        await client.list(PODS, name_of)
    assert [request.authorization for request in server.received][1:] == [
        "Bearer old",
        "Bearer new",
    ]
