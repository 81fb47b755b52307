"""As much of an API server as one agent needs: two collections, their watches, and its status."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from capture_api.names import API_VERSION, CAPTURE_PROGRAMS, NODE_CAPTURES

_KINDS = (CAPTURE_PROGRAMS, NODE_CAPTURES)
_MAX_STATUS = 16 << 20

Raw = dict[str, Any]
"""An API object, or a part of one, as JSON has it."""
_Key = tuple[str, str]
"""Namespace, which is empty for a kind that has none, and name."""


class PlayedApi:
    """Holds objects by kind, namespace and name; `url` is where it answers."""

    def __init__(self) -> None:
        self.url = ""
        self._objects: dict[str, dict[_Key, Raw]] = {kind: {} for kind in _KINDS}
        self._watches: dict[str, set[asyncio.Queue[Raw]]] = {kind: set() for kind in _KINDS}
        self._version = 0
        self._status_arrived = asyncio.Event()

    def put(self, kind: str, raw: Raw) -> None:
        """Store an object, with the status that it has, and tell the watches."""
        self._version += 1
        metadata = {**raw["metadata"], "resourceVersion": str(self._version)}
        key = (metadata.get("namespace", ""), metadata["name"])
        raw = {**self._objects[kind].get(key, {}), **raw, "metadata": metadata}
        self._objects[kind][key] = raw
        for watch in self._watches[kind]:
            watch.put_nowait(raw)

    def status(self, node: str) -> Raw:
        """Give the status of a NodeCapture, empty before the first."""
        found: Raw = self._objects[NODE_CAPTURES]["", node].get("status", {})
        return found

    async def until(self, node: str, is_so: Callable[[Raw], bool]) -> None:
        """Wait until the status of a NodeCapture is as wanted."""
        while not is_so(self.status(node)):
            self._status_arrived.clear()
            await self._status_arrived.wait()

    async def list_or_watch(self, request: web.Request) -> web.StreamResponse:
        """Answer a list at once, and a watch until it is closed."""
        kind = request.match_info["kind"]
        if "watch" in request.query:
            return await self._watch(request, kind)
        version = {"resourceVersion": str(self._version)}
        return web.json_response({"metadata": version, "items": [*self._objects[kind].values()]})

    async def replace_status(self, request: web.Request) -> web.StreamResponse:
        """Take over a status."""
        key, status = ("", request.match_info["name"]), (await request.json())["status"]
        self.put(NODE_CAPTURES, {**self._objects[NODE_CAPTURES][key], "status": status})
        self._status_arrived.set()
        return web.json_response(self._objects[NODE_CAPTURES][key])

    async def _watch(self, request: web.Request, kind: str) -> web.StreamResponse:
        changes: asyncio.Queue[Raw] = asyncio.Queue()
        since = int(request.query["resourceVersion"])
        for raw in self._objects[kind].values():
            if int(raw["metadata"]["resourceVersion"]) > since:
                changes.put_nowait(raw)
        response = web.StreamResponse()
        await response.prepare(request)
        self._watches[kind].add(changes)
        try:
            while True:
                event = {"type": "MODIFIED", "object": await changes.get()}
                await response.write(json.dumps(event).encode() + b"\n")
        except ConnectionError:
            return response
        finally:
            self._watches[kind].discard(changes)


@asynccontextmanager
async def played_api() -> AsyncIterator[PlayedApi]:
    """Answer for the block."""
    api = PlayedApi()
    app = web.Application(client_max_size=_MAX_STATUS)
    base = f"/apis/{API_VERSION}/{{kind}}"
    app.router.add_get(base, api.list_or_watch)
    app.router.add_put(base + "/{name}/status", api.replace_status)
    async with TestServer(app) as server:
        api.url = str(server.make_url("")).rstrip("/")
        yield api
