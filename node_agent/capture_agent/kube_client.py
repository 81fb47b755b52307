"""The few requests to the API server that an agent makes: list, watch, get, replace.

Lean on purpose: the official client costs each node 50 MB of memory. Every answer is bounded in
time: a request by 30 seconds, a watch by the time after which the server was asked to end it and a
grace, so that a stream which hangs ends here though nobody closes it. A peer that vanished without
a word (a machine or a load balancer lost) is found by TCP keepalive within a minute.
"""

import asyncio
import random
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from capture_agent.kube_answers import Listing, Page, WatchEvent, failure_from
from capture_agent.kube_errors import ApiError, ApiUnavailableError
from capture_agent.service_account import ApiServer, TokenFile
from capture_agent.watch_lines import LineSplitter, LineTooLongError

R = TypeVar("R")

# Uncompressed: aiohttp would inflate a large answer in a thread, and the agent has none.
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "traffic-capture-agent",
}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. A watch is to end after `watch` to twice that, and ends `watch_grace` later."""

    connect: float = 10.0
    request: float = 30.0
    watch: float = 180.0
    watch_grace: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    method: str
    path: str
    params: Mapping[str, str]
    timeout: float
    body: bytes | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@asynccontextmanager
async def connected(
    server: ApiServer,
    *,
    timeouts: Timeouts = Timeouts(),
    page_size: int = 500,
    jitter: Callable[[], float] = random.random,
) -> AsyncIterator["KubeClient"]:
    """Give a client of this API server; its connections close at the end of the block."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=server.tls or True, socket_factory=_keepalive_socket),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_HEADERS,
    ) as session:
        yield KubeClient(session, server, timeouts, page_size, jitter)


class KubeClient:
    """Requests to one API server; paths are as in the Kubernetes API, e.g. `/api/v1/pods`.

    Every method raises `ApiError` when the API server answers with a failure, and
    `ApiUnavailableError` when there is no answer, it breaks off, or it isn't the API server's.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        server: ApiServer,
        timeouts: Timeouts,
        page_size: int,
        jitter: Callable[[], float],
    ) -> None:
        self._session = session
        self._server = server
        self._timeouts = timeouts
        self._page_size = page_size
        self._jitter = jitter

    async def get(self, path: str) -> dict[str, Any]:
        """Read one object."""
        return await self._object("GET", path)

    async def replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object or a subresource of it, e.g. `.../status`; give what is stored now."""
        return await self._object("PUT", path, body)

    async def list(
        self,
        path: str,
        read: Callable[[dict[str, Any]], R],
        params: Mapping[str, str] | None = None,
    ) -> Listing[R]:
        """List a collection in pages; `read` takes each item, so raw JSON never piles up.

        When the rest of a list expires under way (410) it starts again, once.
        """
        try:
            return await self._all_pages(path, read, params or {})
        except ApiError as error:
            if error.status != HTTPStatus.GONE:
                raise
        return await self._all_pages(path, read, params or {})

    async def watch(
        self, path: str, resource_version: str, params: Mapping[str, str] | None = None
    ) -> AsyncGenerator[WatchEvent, None]:
        """Give the events of a collection after this version, until the server ends the stream.

        BOOKMARK and ERROR events come as they are. Close the generator (`contextlib.aclosing`):
        the connection lives as long as it.
        """
        seconds = round(self._timeouts.watch * (1 + self._jitter()))
        request = _Request(
            method="GET",
            path=path,
            params={
                **(params or {}),
                "watch": "1",
                "allowWatchBookmarks": "true",
                "resourceVersion": resource_version,
                "timeoutSeconds": str(seconds),
            },
            timeout=seconds + self._timeouts.watch_grace,
        )
        lines = LineSplitter()
        with _unavailable(request):
            async with await self._answer(request) as response:
                async for chunk in response.content.iter_any():
                    for line in lines.feed(chunk):
                        yield msgspec.json.decode(line, type=WatchEvent)

    async def _all_pages(
        self, path: str, read: Callable[[dict[str, Any]], R], params: Mapping[str, str]
    ) -> Listing[R]:
        items: list[R] = []
        query = {**params, "limit": str(self._page_size)}
        while True:
            request = _Request(
                method="GET", path=path, params=query, timeout=self._timeouts.request
            )
            page = await self._decoded(request, Page)
            items.extend(read(item) for item in page.items)
            if not page.metadata.next_page:
                return Listing(tuple(items), page.metadata.resource_version)
            query["continue"] = page.metadata.next_page

    async def _object(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        request = _Request(
            method=method,
            path=path,
            params={},
            timeout=self._timeouts.request,
            body=None if body is None else msgspec.json.encode(body),
        )
        return await self._decoded(request, dict[str, Any])

    async def _decoded(self, request: _Request, kind: type[R]) -> R:
        with _unavailable(request):
            async with await self._answer(request) as response:
                return msgspec.json.decode(await response.read(), type=kind)

    async def _answer(self, request: _Request) -> aiohttp.ClientResponse:
        response = await self._send(request)
        if response.status == HTTPStatus.UNAUTHORIZED and self._server.token is not None:
            response.release()
            response = await self._send(request)
        if response.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise await self._failure(response)
        return response

    async def _send(self, request: _Request) -> aiohttp.ClientResponse:
        token = self._server.token
        response = await self._session.request(
            request.method,
            self._server.base_url + request.path,
            params=request.params,
            data=request.body,
            headers=_headers(request, token),
            allow_redirects=False,  # the token is for the API server and nobody else
            timeout=aiohttp.ClientTimeout(
                total=request.timeout, sock_connect=self._timeouts.connect
            ),
        )
        if token is not None and response.status == HTTPStatus.UNAUTHORIZED:
            token.refused()
        return response

    async def _failure(self, response: aiohttp.ClientResponse) -> ApiError:
        async with response, asyncio.timeout(self._timeouts.request):
            body = await response.read()
        return failure_from(response.status, body, response.headers.get("Retry-After"))


def _headers(request: _Request, token: TokenFile | None) -> dict[str, str]:
    headers = {}
    if request.body is not None:
        headers["Content-Type"] = "application/json"
    if token is not None:
        headers["Authorization"] = f"Bearer {token.current()}"
    return headers


@contextmanager
def _unavailable(request: _Request) -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, OSError, msgspec.DecodeError, LineTooLongError) as error:
        raise ApiUnavailableError(
            f"{request}: no usable answer: {str(error) or type(error).__name__}"
        ) from error


def _keepalive_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    connection = socket.socket(family, kind, protocol)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    return connection
