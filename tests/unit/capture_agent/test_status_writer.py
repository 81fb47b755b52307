"""The newest evidence gets to the API server, once, and never over somebody else's."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web

from capture_agent.kube_client import KubeClient, Timeouts
from capture_agent.own_node_capture import decode_node_capture
from capture_agent.status_writer import StatusWriter, wait_at_most
from capture_agent.status_writes import COALESCING
from capture_api.node_captures import NodeCapture, NodeCaptureStatus, PodEvidence, PodState
from capture_api.wire import encode
from unit.capture_agent.api_server import PlayedApiServer, Step, answers, fails, playing

PATH = "/apis/trafficcapture.io/v1alpha1/nodecaptures/node-1"


def status(state: PodState = PodState.PROGRAMMED, drift: int = 0) -> NodeCaptureStatus:
    """Evidence about one pod."""
    pod = PodEvidence(uid="u", namespace="demo", name="web", state=state, drift_detected=drift)
    return NodeCaptureStatus(observed_generation=1, pods=(pod,))


PROGRAMMED, FAILED = status(), status(PodState.FAILED)
DRIFTED_ONCE = status(drift=1)


def raw_node_capture(
    version: str, evidence: NodeCaptureStatus | None = None
) -> dict[str, dict[str, Any]]:
    """The NodeCapture as the API server has it."""
    metadata = {"name": "node-1", "uid": "n", "resourceVersion": version}
    return {"metadata": metadata, "status": encode(evidence) if evidence else {}}


def stores(version: str) -> Step:
    """Accept a write: the status becomes what was sent, at this version."""

    async def step(request: web.Request, _closing: asyncio.Event) -> web.StreamResponse:
        sent = json.loads(await request.read())
        metadata = {**raw_node_capture(version)["metadata"]}
        return web.json_response({"metadata": metadata, "status": sent["status"]})

    return step


class Writing:
    """A writer in a time that passes when it sleeps or when a test lets it."""

    def __init__(self, client: KubeClient, stored: NodeCapture | None) -> None:
        self.now = 1000.0
        self.stored = stored
        self.waits: asyncio.Queue[float | None] = asyncio.Queue()
        self.asleep = asyncio.Event()
        self._elapsed = asyncio.Event()
        self.writer = StatusWriter(
            client,
            "node-1",
            lambda: self.stored,
            clock=lambda: self.now,
            wait=self._wait,
            sleep=self._sleep,
            jitter=lambda: 0.0,
        )

    async def _wait(self, woken: asyncio.Event, seconds: float | None) -> None:
        self.waits.put_nowait(seconds)
        self._elapsed.clear()
        tasks = [asyncio.create_task(event.wait()) for event in (woken, self._elapsed)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _sleep(self, seconds: float) -> None:
        self.asleep.set()
        await asyncio.sleep(0)
        self.now += seconds

    async def wait_of(self) -> float | None:
        """How long the writer means to wait now; None: until it is woken."""
        return await self.waits.get()

    async def settled(self) -> None:
        """Wait until the writer has nothing to do, and means to have nothing."""
        while await self.wait_of() is not None:
            pass

    def pass_time(self, seconds: float) -> None:
        """Let time pass while the writer waits."""
        self.now += seconds
        self._elapsed.set()


@asynccontextmanager
async def writing(
    *script: Step,
    stored: dict[str, dict[str, Any]] | None = None,
    timeouts: Timeouts | None = None,
) -> AsyncIterator[tuple[Writing, PlayedApiServer]]:
    """Run a writer against this script; it has nothing to do when the block begins."""
    async with playing(*script, timeouts=timeouts) as (server, client):
        known = None if stored is None else decode_node_capture(stored)
        writing = Writing(client, known)
        running = asyncio.create_task(writing.writer.run())
        try:
            assert await writing.wait_of() is None
            yield writing, server
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def written(server: PlayedApiServer) -> list[tuple[str, NodeCaptureStatus]]:
    """The writes: the version each builds on, and the status."""
    return [
        (
            request.body["metadata"]["resourceVersion"],
            decode_node_capture({**raw_node_capture(""), "status": request.body["status"]}).status,
        )
        for request in server.received
        if request.method == "PUT"
    ]


async def test_a_status_is_written_with_the_version_it_builds_on() -> None:
    """The request is a replacement of the status of the node's own NodeCapture."""
    async with writing(stores("6"), stored=raw_node_capture("5")) as (it, server):
        it.writer.submit(PROGRAMMED)
        await it.settled()
    assert written(server) == [("5", PROGRAMMED)]
    request = server.received[0]
    assert request.path == f"{PATH}/status"
    assert request.body["kind"] == "NodeCapture"
    assert request.body["apiVersion"] == "trafficcapture.io/v1alpha1"
    assert request.body["metadata"] == {"name": "node-1", "resourceVersion": "5"}


async def test_the_status_that_is_there_is_not_written() -> None:
    """An agent that starts again and finds all as it was is silent."""
    async with writing(stored=raw_node_capture("5", PROGRAMMED)) as (it, server):
        it.writer.submit(PROGRAMMED)
        await it.settled()
    assert server.received == []


async def test_transitions_that_come_together_are_one_write() -> None:
    """The newest counts, and the delay isn't postponed by each."""
    async with writing(stores("6"), stored=raw_node_capture("5")) as (it, server):
        it.writer.submit(FAILED)
        await it.asleep.wait()
        it.writer.submit(PROGRAMMED)
        await it.settled()
        assert it.now == 1000.0 + COALESCING
    assert written(server) == [("5", PROGRAMMED)]


async def test_a_transition_that_is_taken_back_is_not_written() -> None:
    """Within the coalescing time nobody needs to know."""
    async with writing(stored=raw_node_capture("5", PROGRAMMED)) as (it, server):
        it.writer.submit(FAILED)
        await it.asleep.wait()
        it.writer.submit(PROGRAMMED)
        await it.settled()
    assert server.received == []


async def test_the_second_write_builds_on_the_first() -> None:
    """Though the informer hasn't seen it yet."""
    async with writing(stores("6"), stores("7"), stored=raw_node_capture("5")) as (it, server):
        it.writer.submit(PROGRAMMED)
        await it.settled()
        it.writer.submit(FAILED)
        await it.settled()
    assert written(server) == [("5", PROGRAMMED), ("6", FAILED)]


async def test_counters_wait_for_their_interval() -> None:
    """They are written when it is over, the newest of them."""
    async with writing(stores("6"), stores("7"), stored=raw_node_capture("5")) as (it, server):
        it.writer.submit(PROGRAMMED)
        await it.settled()
        it.writer.submit(DRIFTED_ONCE)
        assert await it.wait_of() == 10.0
        it.writer.submit(status(drift=2))
        assert await it.wait_of() == 10.0
        it.pass_time(10.0)
        await it.settled()
    assert written(server)[1:] == [("6", status(drift=2))]


async def test_a_transition_takes_waiting_counters_along() -> None:
    """It doesn't wait for them, and they need no write of their own."""
    both = status(PodState.FAILED, drift=1)
    async with writing(stores("6"), stores("7"), stored=raw_node_capture("5")) as (it, server):
        it.writer.submit(PROGRAMMED)
        await it.settled()
        it.writer.submit(DRIFTED_ONCE)
        assert await it.wait_of() == 10.0
        it.writer.submit(both)
        await it.settled()
        assert it.now < 1001.0
    assert written(server)[1:] == [("6", both)]


async def test_a_conflict_is_reread_and_written_again() -> None:
    """The operator's dispatch in between costs one more round, and no time."""
    script = fails(409, "Conflict"), answers(raw_node_capture("8")), stores("9")
    async with writing(*script, stored=raw_node_capture("5")) as (it, server):
        it.writer.submit(PROGRAMMED)
        await it.settled()
        assert it.now == 1000.0 + COALESCING
    assert written(server) == [("5", PROGRAMMED), ("8", PROGRAMMED)]
    assert server.received[1].method == "GET"


async def test_a_conflict_with_ones_own_write_needs_no_other() -> None:
    """The informer showed something older than the answer: the reread finds all done."""
    script = stores("7"), fails(409), answers(raw_node_capture("7", PROGRAMMED))
    async with writing(*script, stored=raw_node_capture("5")) as (it, server):
        it.writer.submit(PROGRAMMED)
        await it.settled()
        it.stored = decode_node_capture(raw_node_capture("6"))
        it.writer.node_capture_changed()
        await it.settled()
    assert written(server) == [("5", PROGRAMMED), ("6", PROGRAMMED)]


async def test_conflicts_without_end_back_off() -> None:
    """Two writers of one status don't fight at full speed."""
    script = fails(409), answers(raw_node_capture("6")), fails(409)
    async with writing(*script, stores("8"), stored=raw_node_capture("5")) as (it, server):
        it.writer.submit(PROGRAMMED)
        assert await it.wait_of() == pytest.approx(0.1)
        it.pass_time(0.1)
        await it.settled()
    assert [version for version, _ in written(server)] == ["5", "6", "6"]


async def test_nothing_is_written_before_there_is_a_node_capture() -> None:
    """It is the operator's to create; then the status follows."""
    async with writing(stores("2")) as (it, server):
        it.writer.submit(PROGRAMMED)
        assert await it.wait_of() is None
        assert server.received == []
        it.stored = decode_node_capture(raw_node_capture("1"))
        it.writer.node_capture_changed()
        await it.settled()
    assert written(server) == [("1", PROGRAMMED)]


async def test_a_node_capture_that_went_is_waited_for() -> None:
    """404 backs off; when the informer shows it gone there is nothing to do until it is back."""
    async with writing(fails(404), stores("9"), stored=raw_node_capture("5")) as (it, server):
        it.writer.submit(PROGRAMMED)
        assert await it.wait_of() == pytest.approx(0.1)
        it.stored = None
        it.writer.node_capture_changed()
        assert await it.wait_of() is None
        it.stored = decode_node_capture(raw_node_capture("8"))
        it.now += 1.0
        it.writer.node_capture_changed()
        await it.settled()
    assert [version for version, _ in written(server)] == ["5", "8"]


async def test_a_recreated_node_capture_gets_the_status_again() -> None:
    """What was written before went with the namesake."""
    async with writing(stores("6"), stores("21"), stored=raw_node_capture("5")) as (it, server):
        it.writer.submit(PROGRAMMED)
        await it.settled()
        it.stored = decode_node_capture(raw_node_capture("20"))
        it.writer.node_capture_changed()
        await it.settled()
    assert written(server) == [("5", PROGRAMMED), ("20", PROGRAMMED)]


async def test_failures_back_off_and_new_evidence_does_not_press() -> None:
    """A transition during the back-off waits for its end, and replaces what failed."""
    script = fails(500), fails(500), stores("6")
    async with writing(*script, stored=raw_node_capture("5")) as (it, server):
        it.writer.submit(PROGRAMMED)
        first = await it.wait_of()
        it.pass_time(first or 0.0)
        second = await it.wait_of()
        it.writer.submit(FAILED)
        third = await it.wait_of()
        assert [first, second, third] == pytest.approx([0.1, 0.2, 0.2])
        assert len(server.received) == 2
        it.pass_time(0.2)
        await it.settled()
    assert written(server)[-1] == ("5", FAILED)


async def test_a_write_that_succeeds_starts_the_back_off_over() -> None:
    """The next failure is the first again."""
    script = fails(500), fails(500), stores("6"), fails(500)
    async with writing(*script, stored=raw_node_capture("5")) as (it, _):
        it.writer.submit(PROGRAMMED)
        for expected in (0.1, 0.2):
            assert await it.wait_of() == pytest.approx(expected)
            it.pass_time(expected)
        await it.settled()
        it.writer.submit(FAILED)
        assert await it.wait_of() == pytest.approx(0.1)


async def test_the_server_says_when_to_write_again() -> None:
    """Retry-After is honoured."""
    throttled = fails(429, Retry_After="20")
    async with writing(throttled, stores("6"), stored=raw_node_capture("5")) as (it, server):
        it.writer.submit(PROGRAMMED)
        assert await it.wait_of() == pytest.approx(20.1)
        it.pass_time(20.1)
        await it.settled()
    assert len(written(server)) == 2


@pytest.mark.parametrize("nonsense", [answers({}), answers([])])
async def test_an_answer_that_cannot_be_read_is_a_failure(nonsense: Step) -> None:
    """The writer goes on."""
    async with writing(nonsense, stores("6"), stored=raw_node_capture("5")) as (it, _):
        it.writer.submit(PROGRAMMED)
        assert await it.wait_of() == pytest.approx(0.1)
        it.pass_time(0.1)
        await it.settled()


async def test_a_server_that_hangs_does_not_hold_the_writer() -> None:
    """The write is given up and tried again."""
    timeouts = Timeouts(request=0.05)
    async with writing(stored=raw_node_capture("5"), timeouts=timeouts) as (it, _):
        it.writer.submit(PROGRAMMED)
        assert await it.wait_of() == pytest.approx(0.1)


async def test_fields_that_the_crd_drops_are_not_written_over_and_over() -> None:
    """An agent newer than its CRD writes each status once."""
    pruned = raw_node_capture("6", NodeCaptureStatus(observed_generation=1))
    async with writing(answers(pruned), stored=raw_node_capture("5")) as (it, server):
        it.writer.submit(PROGRAMMED)
        await it.settled()
        it.stored = decode_node_capture(pruned)
        it.writer.node_capture_changed()
        await it.settled()
    assert len(server.received) == 1


async def test_waiting_ends_by_the_event_or_the_time() -> None:
    """Whichever comes first, and neither is an error."""
    event = asyncio.Event()
    await wait_at_most(event, 0)
    event.set()
    await wait_at_most(event, None)
