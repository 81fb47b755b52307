"""A real HTTP server that plays the API server by a script, one step for each request."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiohttp import web
from aiohttp.test_utils import TestServer

from capture_agent.kube_client import KubeClient, Timeouts, connected
from capture_agent.service_account import ApiServer, TokenFile

Step: TypeAlias = Callable[[web.Request, asyncio.Event], Awaitable[web.StreamResponse]]
"""Answers a request; the event says that the test is over."""
PATIENCE = 20.0
"""Seconds after which a test that waits for what never comes is failed."""


@dataclass(frozen=True)
class Received:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    authorization: str | None
    body: Any


class PlayedApiServer:
    """Answers by its script, and keeps silent when that is at its end."""

    def __init__(self, script: tuple[Step, ...]) -> None:
        self.received: list[Received] = []
        self.exhausted = asyncio.Event()
        self.closing = asyncio.Event()
        self._script = list(script)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Play the next step."""
        body = await request.read()
        self.received.append(
            Received(
                request.method,
                request.path,
                dict(request.query),
                request.headers.get("Authorization"),
                json.loads(body) if body else None,
            )
        )
        if self._script:
            return await self._script.pop(0)(request, self.closing)
        self.exhausted.set()
        await self.closing.wait()
        return web.Response()


@asynccontextmanager
async def playing(
    *script: Step,
    token: TokenFile | None = None,
    timeouts: Timeouts | None = None,
    page_size: int = 500,
) -> AsyncIterator[tuple[PlayedApiServer, KubeClient]]:
    """Play the script to a client; the jitter of watches is 0."""
    played = PlayedApiServer(script)
    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", played.answer)
    async with asyncio.timeout(PATIENCE), TestServer(app) as server:
        api_server = ApiServer(str(server.make_url("")).rstrip("/"), token=token)
        try:
            async with connected(
                api_server,
                timeouts=timeouts or Timeouts(),
                page_size=page_size,
                jitter=lambda: 0.0,
            ) as client:
                yield played, client
        finally:
            played.closing.set()


def answers(body: object, status: int = 200, **headers: str) -> Step:
    """Answer with this JSON; `Retry_After="1"` is the header Retry-After."""

    async def step(_: web.Request, _closing: asyncio.Event) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(body, status=status, headers=named)

    return step


def fails(status: int, reason: str = "", message: str = "", **headers: str) -> Step:
    """Answer with a failure, as the API server words it."""
    body = {"kind": "Status", "code": status, "reason": reason, "message": message}
    return answers(body, status, **headers)


def lists(*items: object, version: str = "1", more: str = "") -> Step:
    """Answer with one page of a list; `more` is the token of the next."""
    return answers({"metadata": {"resourceVersion": version, "continue": more}, "items": items})


def streams(*parts: object) -> Step:
    """Answer with a stream of these events, or bytes as they are, and end it."""

    async def step(request: web.Request, _closing: asyncio.Event) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for part in parts:
            await response.write(part if isinstance(part, bytes) else line(part))
        await response.write_eof()
        return response

    return step


def streams_and_hangs(*parts: object) -> Step:
    """Answer with a stream of these events, and then send nothing more."""

    async def step(request: web.Request, closing: asyncio.Event) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for part in parts:
            await response.write(line(part))
        await closing.wait()
        return response

    return step


async def breaks_off(request: web.Request, _closing: asyncio.Event) -> web.StreamResponse:
    """Begin an answer and drop the connection."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b'{"type": "ADD')
    assert request.transport is not None
    request.transport.abort()
    return response


def line(event: object) -> bytes:
    """An event as it is on the wire."""
    return json.dumps(event).encode() + b"\n"


def event(kind: str, raw: object) -> dict[str, object]:
    """A watch event."""
    return {"type": kind, "object": raw}


def raw_object(name: str, version: str = "1", uid: str = "", **fields: object) -> dict[str, object]:
    """An object of namespace demo."""
    metadata = {
        "namespace": "demo",
        "name": name,
        "uid": uid or f"uid-{name}",
        "resourceVersion": version,
    }
    return {"metadata": metadata, **fields}
