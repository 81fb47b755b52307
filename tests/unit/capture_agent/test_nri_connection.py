"""The agent is a plugin of the runtime, through everything that happens to either of them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from capture_agent.nri_connection import LONGEST_ABSENCE, STEADY, NriConnection
from capture_nri import nri_pb2
from capture_nri.events import Lifecycle
from capture_nri.pod_sandboxes import PodSandbox, pod_sandbox
from unit.capture_agent import virtual_time
from unit.capture_nri.fake_runtime import Plugin, running_runtime
from unit.capture_nri.runtime_side import (
    call,
    configure,
    containerd_pod,
    frame,
    registered,
    run_pod_sandbox,
    synchronize,
)

RUN_POD_SANDBOX, STOP_POD_SANDBOX, REMOVE_POD_SANDBOX, CREATE_CONTAINER = Lifecycle
POD = containerd_pod()
SANDBOX = pod_sandbox(POD)


class Handler:
    """Notes what it is told; its answers are set by the test."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.runs: tuple[PodSandbox, ...] = ()
        self.refusal: str | None = None
        self.policy: str | None = None
        self.error: Exception | None = None
        self.hangs = False
        self.gate: asyncio.Event | None = None
        self.reached = asyncio.Event()
        self.reports: asyncio.Queue[str] = asyncio.Queue()

    async def synchronize(self, sandboxes: tuple[PodSandbox, ...]) -> None:
        """Note what runs."""
        self.runs = sandboxes
        await self._hear("synchronize", *sandboxes)

    async def pod_starts(self, sandbox: PodSandbox) -> None:
        """Note it."""
        await self._hear("starts", sandbox)

    async def container_starts(self, sandbox: PodSandbox) -> str | None:
        """Answer as the test says."""
        await self._hear("container", sandbox)
        return self.refusal

    async def pod_stopped(self, sandbox: PodSandbox) -> None:
        """Note it."""
        await self._hear("stopped", sandbox)

    async def pod_removed(self, sandbox: PodSandbox) -> None:
        """Note it."""
        await self._hear("removed", sandbox)

    def undecided(self, sandbox: PodSandbox) -> str | None:
        """Answer as the test says."""
        self.heard.append(f"undecided {sandbox.name}")
        if self.policy == "bug":
            raise LookupError(sandbox.name)
        return self.policy

    def connected(self, runtime: str, version: str) -> None:
        """Report it."""
        self.reports.put_nowait(f"connected to {runtime} {version}")

    def disconnected(self, why: str) -> None:
        """Report it."""
        self.reports.put_nowait(why)

    async def _hear(self, what: str, *sandboxes: PodSandbox) -> None:
        self.heard.append(" ".join((what, *(sandbox.name for sandbox in sandboxes))))
        if self.gate is not None:
            self.reached.set()
            await self.gate.wait()
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if self.error is not None:
            raise self.error


class Pauses:
    """The pauses of a connection: noted, and over at once; the clock is the test's."""

    def __init__(self) -> None:
        self.now = 0.0
        self.taken: asyncio.Queue[float] = asyncio.Queue()

    async def sleep(self, seconds: float) -> None:
        """Take no time, but let others run."""
        self.taken.put_nowait(seconds)
        await asyncio.sleep(0)


@asynccontextmanager
async def connecting(
    handler: Handler, socket: Path, *, budget: float = 60.0
) -> AsyncIterator[Pauses]:
    """Run a connection."""
    pauses = Pauses()
    connection = NriConnection(
        handler, socket=socket, budget=budget, clock=lambda: pauses.now, sleep=pauses.sleep
    )
    running = asyncio.create_task(connection.run())
    try:
        yield pauses
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@asynccontextmanager
async def connected(
    handler: Handler, tmp_path: Path, *pods: nri_pb2.PodSandbox, budget: float = 60.0
) -> AsyncIterator[Plugin]:
    """Run a connection that a runtime has taken in; give the runtime's end."""
    socket = tmp_path / "nri.sock"
    async with running_runtime(socket) as runtime, connecting(handler, socket, budget=budget):
        plugin = await runtime.accept()
        await plugin.greet(*pods)
        yield plugin


async def test_a_session_begins_with_what_runs(tmp_path: Path) -> None:
    """Registered by name and index; connected once the handler knows all sandboxes."""
    handler, socket = Handler(), tmp_path / "nri.sock"
    async with running_runtime(socket) as runtime, connecting(handler, socket):
        plugin = await runtime.accept()
        asked = await plugin.greet(POD, containerd_pod("db"))
        assert (asked.plugin_name, asked.plugin_idx) == ("traffic-capture", "10")
        assert handler.heard == ["synchronize web db"]
        assert handler.reports.get_nowait() == "connected to containerd v2.2.1"


async def test_pages_are_one_list(tmp_path: Path) -> None:
    """The handler sees a large node at once, after its last page."""
    handler, socket = Handler(), tmp_path / "nri.sock"
    async with running_runtime(socket) as runtime, connecting(handler, socket):
        plugin = await runtime.accept()
        await plugin.hear()
        plugin.send(registered())
        await plugin.ask(configure(plugin.stream()))
        for name in ("a", "b"):
            page = synchronize(plugin.stream(), containerd_pod(name), more=True)
            answer = (await plugin.ask(page)).answer
            assert nri_pb2.SynchronizeResponse.FromString(answer.payload).more
            assert handler.heard == []
            assert handler.reports.empty()
        await plugin.ask(synchronize(plugin.stream(), POD))
        assert handler.heard == ["synchronize a b web"]


async def test_a_runtime_may_synchronize_again(tmp_path: Path) -> None:
    """The handler is told each time, and connected once."""
    handler = Handler()
    async with connected(handler, tmp_path) as plugin:
        await plugin.ask(synchronize(plugin.stream(), POD))
    assert handler.heard == ["synchronize", "synchronize web"]
    assert handler.reports.get_nowait().startswith("connected")
    assert handler.reports.empty()


async def test_a_node_can_not_have_any_number_of_sandboxes(tmp_path: Path) -> None:
    """A runtime whose pages never end is left."""
    handler, socket = Handler(), tmp_path / "nri.sock"
    async with running_runtime(socket) as runtime, connecting(handler, socket):
        plugin = await runtime.accept()
        await plugin.hear()
        page = [nri_pb2.PodSandbox(id="x")] * 6000
        await plugin.ask(synchronize(plugin.stream(), *page, more=True))
        plugin.send(synchronize(plugin.stream(), *page, more=True))
        await plugin.is_closed()
        assert "more than 10000 sandboxes" in await handler.reports.get()


async def test_the_life_of_a_pod_is_told_in_order(tmp_path: Path) -> None:
    """As methods of their own, or as state changes."""
    handler = Handler()
    async with connected(handler, tmp_path) as plugin:
        handler.heard.clear()
        assert await plugin.starts(POD) is None
        for moment in (CREATE_CONTAINER, STOP_POD_SANDBOX, REMOVE_POD_SANDBOX):
            assert await plugin.tells(moment, POD) is None
    assert handler.heard == ["starts web", "container web", "stopped web", "removed web"]


async def test_the_refusal_of_a_container_reaches_the_runtime(tmp_path: Path) -> None:
    """In the handler's words."""
    handler = Handler()
    async with connected(handler, tmp_path) as plugin:
        handler.refusal = "web is not captured yet"
        assert await plugin.tells(CREATE_CONTAINER, POD) == "web is not captured yet"
        handler.refusal = None
        assert await plugin.tells(CREATE_CONTAINER, POD) is None
    assert handler.heard[1:] == ["container web"] * 2


async def test_a_sandbox_starts_only_after_the_handler_is_done(tmp_path: Path) -> None:
    """The runtime waits with the answer."""
    handler = Handler()
    handler.gate = asyncio.Event()
    async with connected(handler, tmp_path) as plugin:
        starting = asyncio.create_task(plugin.starts(POD))
        await handler.reached.wait()
        assert not starting.done()
        handler.gate.set()
        assert await starting is None


@pytest.mark.parametrize("policy", [None, "can't be captured: see the agent's log"])
async def test_a_handler_that_raises_is_answered_for(tmp_path: Path, policy: str | None) -> None:
    """By its own policy for the pod, and the session goes on."""
    handler = Handler()
    async with connected(handler, tmp_path) as plugin:
        handler.error, handler.policy = ValueError("nonsense"), policy
        assert await plugin.tells(CREATE_CONTAINER, POD) == policy
        handler.error = None
        assert await plugin.tells(CREATE_CONTAINER, containerd_pod("db")) is None
    assert handler.heard[1:] == ["container web", "undecided web", "container db"]


@pytest.mark.parametrize("policy", [None, "can't be captured: see the agent's log"])
async def test_a_handler_that_hangs_is_answered_for(tmp_path: Path, policy: str | None) -> None:
    """After its budget, before the runtime drops us."""
    handler = Handler()
    async with connected(handler, tmp_path, budget=0.001) as plugin:
        handler.hangs, handler.policy = True, policy
        assert await plugin.tells(CREATE_CONTAINER, POD) == policy
    assert handler.heard[-2:] == ["container web", "undecided web"]


def test_an_impatient_runtime_shortens_the_budget(tmp_path: Path) -> None:
    """To half of what it says it waits; a patient one does not lengthen it."""

    async def seconds_waited(runtime_waits: float) -> float:
        handler, socket = Handler(), tmp_path / "nri.sock"
        async with running_runtime(socket) as runtime, connecting(handler, socket, budget=30):
            plugin = await runtime.accept()
            await plugin.hear()
            timeout = round(1000 * runtime_waits)
            await plugin.ask(configure(plugin.stream(), request_timeout=timeout))
            handler.hangs = True
            before = virtual_time.now()
            assert await plugin.tells(CREATE_CONTAINER, POD) is None
        assert handler.heard == ["container web", "undecided web"]
        return virtual_time.now() - before

    assert virtual_time.run(lambda: seconds_waited(2)) == 1
    assert virtual_time.run(lambda: seconds_waited(100)) == 30


async def test_without_a_policy_a_pod_starts(tmp_path: Path) -> None:
    """A mistake in ours must not keep a node from starting anything."""
    handler = Handler()
    async with connected(handler, tmp_path) as plugin:
        handler.error, handler.policy = ValueError("nonsense"), "bug"
        assert await plugin.tells(CREATE_CONTAINER, POD) is None


@pytest.mark.parametrize("moment", [RUN_POD_SANDBOX, STOP_POD_SANDBOX, REMOVE_POD_SANDBOX])
@pytest.mark.parametrize("hangs", [True, False])
async def test_what_becomes_of_a_sandbox_is_never_refused(
    tmp_path: Path, moment: int, *, hangs: bool
) -> None:
    """Even if the handler fails or takes too long, and would not let its containers start."""
    handler = Handler()
    async with connected(handler, tmp_path, budget=0.001 if hangs else 60.0) as plugin:
        handler.hangs, handler.refusal, handler.policy = hangs, "no", "no"
        assert await plugin.tells(moment, POD) is None
        handler.error = ValueError("nonsense")
        assert await plugin.tells(moment, POD) is None
    assert not any(heard.startswith("undecided") for heard in handler.heard)


async def test_a_failed_synchronization_is_accepted(tmp_path: Path) -> None:
    """A plugin that fails it would stay connected and never be called."""
    handler = Handler()
    handler.error = ValueError("nonsense")
    async with connected(handler, tmp_path, POD) as plugin:
        assert handler.runs == (SANDBOX,)
        handler.error = None
        assert await plugin.starts(POD) is None


async def test_unknown_methods_are_unimplemented(tmp_path: Path) -> None:
    """And harm nothing."""
    handler = Handler()
    async with connected(handler, tmp_path) as plugin:
        answer = await plugin.ask(call(plugin.stream(), "UpdatePodSandbox"))
        assert answer.answer.status.code == 12
        assert await plugin.starts(POD) is None


async def test_calls_that_arrive_together_are_answered_in_order(tmp_path: Path) -> None:
    """One after the other, each on its own stream."""
    handler = Handler()
    async with connected(handler, tmp_path) as plugin:
        streams = [plugin.stream() for _ in range(3)]
        plugin.send(b"".join(run_pod_sandbox(stream, POD) for stream in streams))
        assert [(await plugin.hear()).stream for _ in streams] == streams


async def test_no_socket_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """NRI may be off for good: looked for again and again, quietly, and never seldom."""
    handler, socket = Handler(), tmp_path / "nri.sock"
    with caplog.at_level(logging.INFO):
        async with connecting(handler, socket) as pauses:
            taken = [await pauses.taken.get() for _ in range(20)]
    assert max(taken) == LONGEST_ABSENCE
    why = f"no runtime at {socket}: No such file or directory"
    assert [handler.reports.get_nowait(), handler.reports.empty()] == [why, True]
    assert [record.getMessage() for record in caplog.records] == [f"NRI is not connected: {why}"]
    assert caplog.records[0].levelno == logging.INFO


async def test_a_runtime_that_appears_is_found(tmp_path: Path) -> None:
    """However long it was away, a stale socket of its predecessor included."""
    handler, socket = Handler(), tmp_path / "nri.sock"
    socket.touch()
    async with connecting(handler, socket):
        assert await handler.reports.get() == f"no runtime at {socket}: Connection refused"
        socket.unlink()
        async with running_runtime(socket) as runtime:
            await (await runtime.accept()).greet()
            while not (await handler.reports.get()).startswith("connected"):
                pass


async def test_a_runtime_that_was_there_is_looked_for_at_once(tmp_path: Path) -> None:
    """However long it took to find it the first time."""
    handler, socket = Handler(), tmp_path / "nri.sock"
    async with connecting(handler, socket) as pauses:
        while await pauses.taken.get() < LONGEST_ABSENCE:
            pass
        async with running_runtime(socket) as runtime:
            await (await runtime.accept()).greet()
            while not pauses.taken.empty():
                pauses.taken.get_nowait()
        ending, absence = [await pauses.taken.get() for _ in range(2)]
        assert ending <= 0.2
        assert absence <= 0.2


async def test_a_restarted_runtime_is_joined_again(tmp_path: Path) -> None:
    """And what it has by then is told anew."""
    handler, socket = Handler(), tmp_path / "nri.sock"
    async with connecting(handler, socket):
        for name in ("a", "b"):
            async with running_runtime(socket) as runtime:
                await (await runtime.accept()).greet(containerd_pod(name))
                while not (await handler.reports.get()).startswith("connected"):
                    pass
                assert [sandbox.name for sandbox in handler.runs] == [name]
            assert await handler.reports.get() == "the runtime closed the connection"


async def test_a_plugin_that_was_dropped_while_it_thought_comes_back(tmp_path: Path) -> None:
    """As the runtime does with one that is too slow."""
    handler, socket = Handler(), tmp_path / "nri.sock"
    async with (
        running_runtime(socket) as runtime,
        connecting(handler, socket, budget=0.01),
    ):
        slow = await runtime.accept()
        await slow.greet()
        handler.hangs = True
        slow.send(run_pod_sandbox(slow.stream(), POD))
        slow.drop()
        again = await runtime.accept()
        handler.hangs = False
        await again.greet(POD)
        assert await again.starts(POD) is None


@pytest.mark.parametrize(
    ("nonsense", "why"),
    [
        (frame(0, b""), "the runtime doesn't speak NRI: a frame for connection 0"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the runtime doesn't speak NRI: a frame of"),
        (registered(2, "no such index"), "the runtime refused the plugin: no such index (code 2)"),
    ],
)
async def test_nonsense_ends_the_session_and_another_begins(
    tmp_path: Path, nonsense: bytes, why: str
) -> None:
    """With the reason in the report."""
    handler, socket = Handler(), tmp_path / "nri.sock"
    async with running_runtime(socket) as runtime, connecting(handler, socket):
        plugin = await runtime.accept()
        await plugin.hear()
        plugin.send(nonsense)
        await plugin.is_closed()
        assert (await handler.reports.get()).startswith(why)
        await (await runtime.accept()).greet()
        assert (await handler.reports.get()).startswith("connected")


async def test_sessions_that_keep_ending_are_begun_less_often(tmp_path: Path) -> None:
    """Until one lasts: each session makes the runtime stop for a moment."""
    handler, socket = Handler(), tmp_path / "nri.sock"
    async with running_runtime(socket) as runtime, connecting(handler, socket) as pauses:
        for _ in range(12):
            (await runtime.accept()).drop()
        short = [await pauses.taken.get() for _ in range(12)]
        assert short[0] <= 0.2
        assert min(short[-2:]) > 2 * LONGEST_ABSENCE
        lasting = await runtime.accept()
        await lasting.greet()
        pauses.now += STEADY
        lasting.drop()
        assert await pauses.taken.get() <= 0.2


@pytest.mark.parametrize("index", ["", "7", "100", "1a", "²1"])
async def test_an_index_of_other_than_two_digits_is_refused(index: str) -> None:
    """With what it should be."""
    with pytest.raises(ValueError, match="two digits, 00 to 99"):
        NriConnection(Handler(), index=index)
