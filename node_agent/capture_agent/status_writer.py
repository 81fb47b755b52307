"""Writes the node's evidence to `NodeCapture.status`, whose only writer this is.

Level-triggered: what the API server is known to hold is compared with the newest desired status,
and intermediate ones are never written. Each write carries the resource version it builds on, so
that a second agent which should not be there loses instead of overwriting.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import NoReturn

from capture_agent.kube_client import KubeClient
from capture_agent.kube_errors import ApiError, KubeError
from capture_agent.own_node_capture import decode_node_capture, node_captures_path
from capture_agent.retry_delays import RetryDelays
from capture_agent.status_writes import COALESCING, write_delay
from capture_agent.stored_node_capture import StoredNodeCapture
from capture_api.names import API_VERSION
from capture_api.node_captures import NodeCapture, NodeCaptureStatus
from capture_api.wire import MalformedObjectError, encode

_log = logging.getLogger(__name__)


async def wait_at_most(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for the event, but no longer than this; None: for as long as it takes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


class StatusWriter:
    """Brings the newest desired status to the API server; `run` it as a task of its own.

    `newest` gives the node's NodeCapture as the informer has it, or None while there is none: then
    nothing is written until `node_capture_changed` says that it may be there.
    """

    def __init__(  # noqa: PLR0913 - keyword-only seams for the tests
        self,
        client: KubeClient,
        node: str,
        newest: Callable[[], NodeCapture | None],
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[asyncio.Event, float | None], Awaitable[None]] = wait_at_most,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._node = node
        self._path = f"{node_captures_path()}/{node}"
        self._newest = newest
        self._clock = clock
        self._wait = wait
        self._sleep = sleep
        self._jitter = jitter
        self._delays = RetryDelays(jitter)
        self._spread = jitter()
        self._woken = asyncio.Event()
        self._desired: NodeCaptureStatus | None = None
        self._stored = StoredNodeCapture()
        self._last_write: float | None = None
        self._not_before = 0.0

    def submit(self, status: NodeCaptureStatus) -> None:
        """Say what the status should be; only the newest counts."""
        self._desired = status
        self._woken.set()

    def node_capture_changed(self) -> None:
        """Say that the node's NodeCapture appeared, changed or went."""
        self._woken.set()

    async def run(self) -> NoReturn:
        """Write what is due until cancelled."""
        while True:
            self._woken.clear()
            delay = self._delay()
            if delay is None or delay > COALESCING:
                await self._wait(self._woken, delay)
                continue
            await self._sleep(delay)
            if self._delay() is not None:
                await self._write()

    def _delay(self) -> float | None:
        """Seconds until a write is due; None while there is nothing to write, or nowhere."""
        self._stored.informed(self._newest())
        if self._desired is None or self._stored.resource_version is None:
            return None
        now = self._clock()
        delay = write_delay(self._stored.status, self._desired, self._last_write, now, self._spread)
        return None if delay is None else max(delay, self._not_before - now)

    async def _write(self) -> None:
        try:
            await self._replace_or_reread()
        except (KubeError, MalformedObjectError) as error:
            asked = error.retry_after if isinstance(error, KubeError) else None
            delay = self._delays.after_failure(asked)
            self._not_before = self._clock() + delay
            _log.warning("%s/status: %s; next attempt in %.1f s", self._path, error, delay)
        else:
            self._delays.succeeded()
            self._spread = self._jitter()

    async def _replace_or_reread(self) -> None:
        try:
            await self._replace()
        except ApiError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            self._stored.answered(decode_node_capture(await self._client.get(self._path)))
            if self._stored.status != self._desired:
                await self._replace()

    async def _replace(self) -> None:
        desired = self._desired or NodeCaptureStatus()
        body = {
            "apiVersion": API_VERSION,
            "kind": "NodeCapture",
            "metadata": {"name": self._node, "resourceVersion": self._stored.resource_version},
            "status": encode(desired),
        }
        answer = await self._client.replace(f"{self._path}/status", body)
        self._stored.accepted(desired, decode_node_capture(answer))
        self._last_write = self._clock()
