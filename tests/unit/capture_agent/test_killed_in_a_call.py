"""An agent that is killed while the runtime waits for it, and the one that comes after it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from capture_agent.nri_connection import NriConnection
from capture_api.node_captures import Captured
from capture_nri.events import Lifecycle
from unit.capture_agent.captures import POD_UID, dispatched, ref
from unit.capture_agent.gated_node import IN_TIME, GatedNode, failed, programmed
from unit.capture_nri.fake_runtime import FakeRuntime, running_runtime
from unit.capture_nri.runtime_side import containerd_pod, run_pod_sandbox

Dies = Callable[[FakeRuntime, Path], Awaitable[GatedNode]]

CREATE_CONTAINER = Lifecycle.CREATE_CONTAINER
POD = containerd_pod(uid=POD_UID)


@asynccontextmanager
async def connected(node: GatedNode, socket: Path) -> AsyncIterator[None]:
    """Run an agent that looks at its pods; at the end of the block it is gone."""
    connection = asyncio.create_task(NriConnection(node.gate, socket=socket).run())
    async with node.looking():
        yield
        connection.cancel()
        with suppress(asyncio.CancelledError):
            await connection


async def killed_in_the_call(runtime: FakeRuntime, socket: Path) -> GatedNode:
    """Kill an agent that is about to write the rules of a starting pod; give what it kept."""
    agent = GatedNode()
    agent.capture()
    agent.pause = asyncio.Event()
    async with connected(agent, socket):
        plugin = await runtime.accept()
        await plugin.greet()
        plugin.send(run_pod_sandbox(plugin.stream(), POD))
        await agent.looked.wait()
        kept = agent.checkpoint()
    await plugin.is_closed()  # without an answer: the runtime goes on without the plugin
    return GatedNode(kept=kept)


async def killed_after_the_call(runtime: FakeRuntime, socket: Path) -> GatedNode:
    """Kill an agent that has captured a starting pod, which has no container yet."""
    agent = GatedNode()
    agent.dispatch(dispatched(ref(agent.capture())))
    async with connected(agent, socket):
        plugin = await runtime.accept()
        await plugin.greet()
        assert await plugin.starts(POD) is None
        kept = agent.checkpoint()
    await plugin.is_closed()
    return GatedNode(kept=kept)


@pytest.mark.parametrize(
    ("dies", "captured"), [(killed_in_the_call, Captured.LATE), (killed_after_the_call, IN_TIME)]
)
@pytest.mark.parametrize("is_dispatched", [True, False])
async def test_the_next_agent_looks_before_the_first_container(
    tmp_path: Path, dies: Dies, captured: Captured, *, is_dispatched: bool
) -> None:
    """The runtime lists the sandbox; whether it has had a container nobody tells."""
    socket = tmp_path / "nri.sock"
    async with running_runtime(socket) as runtime:
        node = await dies(runtime, socket)
        node.look = failed
        spec = node.capture()
        if is_dispatched:
            node.dispatch(dispatched(ref(spec)))
        else:
            node.loop.go_on()
        async with connected(node, socket):
            plugin = await runtime.accept()
            await plugin.greet(POD)
            assert "ChainConflict" in (await plugin.tells(CREATE_CONTAINER, POD) or "")
            node.look = programmed
            assert await plugin.tells(CREATE_CONTAINER, POD) is None
    assert not any(look.is_starting for look in node.looks)
    assert node.captured() is captured
