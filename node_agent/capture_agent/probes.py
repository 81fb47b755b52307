"""The endpoint that the kubelet probes: `/healthz` and `/readyz`, answered in plain text.

A few lines of HTTP instead of `aiohttp.web`, which would cost each node 2.5 MB of memory for two
fixed answers. That there is an answer says that the event loop is alive; the rest is asked.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final, TypeAlias

Check: TypeAlias = Callable[[], str | None]
"""Gives the reason why the answer is no, or None when it is yes."""

MAX_REQUEST: Final = 8 * 1024
PATIENCE: Final = 5.0
"""Seconds for a request to arrive, so that idle connections don't pile up."""


@asynccontextmanager
async def serving_probes(
    port: int, checks: Mapping[str, Check], *, host: str | None = None
) -> AsyncIterator[asyncio.Server]:
    """Answer probes during the block: 200 or 503 with the reason, for each path of `checks`.

    Without `host` on every address of both families.

    Raises:
        OSError: the port can't be listened on.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(answer(head, checks))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # not an HTTP client, or one that left: there is nobody to answer
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, port, limit=MAX_REQUEST)
    async with server:
        yield server


def answer(head: bytes, checks: Mapping[str, Check]) -> bytes:
    """Answer the request whose request line and headers these are."""
    line = head.split(b"\r\n", 1)[0].decode("latin-1")
    words = line.split(" ")
    if len(words) != 3:  # noqa: PLR2004 - method, target, version
        return _response(HTTPStatus.BAD_REQUEST)
    method, target, _ = words
    check = checks.get(target.split("?", 1)[0])
    if check is None:
        return _response(HTTPStatus.NOT_FOUND)
    if method != "GET":
        return _response(HTTPStatus.METHOD_NOT_ALLOWED)
    reason = check()
    return (
        _response(HTTPStatus.OK, "ok")
        if reason is None
        else _response(HTTPStatus.SERVICE_UNAVAILABLE, reason)
    )


def _response(status: HTTPStatus, text: str | None = None) -> bytes:
    body = f"{status.phrase if text is None else text}\n".encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
