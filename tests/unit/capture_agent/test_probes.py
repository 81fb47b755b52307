"""The kubelet gets its answers, and nobody else gets to hurt."""

import asyncio
from contextlib import suppress

import pytest

from capture_agent.probes import MAX_REQUEST, answer, serving_probes

CHECKS = {"/healthz": lambda: None, "/readyz": lambda: "not synced: nodecaptures"}


def get(path: str) -> bytes:
    """A request as the kubelet sends it."""
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: kube-probe/1.36\r\n\r\n".encode()


async def ask(request: bytes) -> bytes:
    """Send these bytes to a probe endpoint and read until it closes."""
    async with (
        asyncio.timeout(20),
        serving_probes(0, CHECKS, host="127.0.0.1") as server,
    ):
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        writer.write_eof()
        try:
            return await reader.read()
        finally:
            writer.close()


async def test_a_healthy_agent_says_ok() -> None:
    """200, in plain text, and the connection is closed."""
    head, body = (await ask(get("/healthz"))).split(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b"Content-Type: text/plain; charset=utf-8" in lines
    assert b"Content-Length: 3" in lines
    assert b"Connection: close" in lines
    assert body == b"ok\n"


async def test_an_agent_that_is_not_ready_says_why() -> None:
    """503 with the reason: the kubelet puts it in an Event."""
    head, body = (await ask(get("/readyz"))).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert body == b"not synced: nodecaptures\n"


@pytest.mark.parametrize("request_head", [b"GET /healthz", get("/" + "x" * 2 * MAX_REQUEST), b""])
async def test_what_is_not_a_request_is_not_answered(request_head: bytes) -> None:
    """Cut off, too long or silent: the connection is closed."""
    with suppress(ConnectionResetError):  # what was sent may still be unread when it closes
        assert await ask(request_head) == b""


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"200"),
        (b"GET /healthz?verbose HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /other HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /healthz HTTP/1.1\r\n\r\n", b"405"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"\r\n\r\n", b"400"),
        (b"\xff \xff \xff\r\n\r\n", b"404"),
    ],
)
def test_requests_are_told_apart(head: bytes, status: bytes) -> None:
    """By method and path, without the query."""
    assert answer(head, CHECKS).split(b" ")[1] == status


def test_the_length_is_in_bytes() -> None:
    """A reason outside ASCII is announced as long as it is."""
    head, body = answer(get("/x"), {"/x": lambda: "späť"}).split(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")
