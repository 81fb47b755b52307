"""What is known of a pod outlives agents that are killed before they have done anything."""

import asyncio
from pathlib import Path

from capture_api.names import CAPTURE_PROGRAMS
from capture_api.wire import encode
from kernel.agent_process import NODE
from kernel.capture_agent.test_what_an_agent_holds import PATIENCE, dispatch
from kernel.played_api import PlayedApi, Raw, played_api
from kernel.pods import ADDRESS, Pod
from kernel.running_agent import running_agent
from unit.capture_agent.captures import program_spec
from unit.capture_nri.fake_runtime import running_runtime
from unit.capture_nri.runtime_side import containerd_pod

KILLED = 3
"""Agents, each as soon as the runtime has taken it in."""


def captured(status: Raw) -> list[str | None]:
    """Say of each pod whether its rules were there before its first container."""
    return [found.get("captured") for found in status.get("pods", [])]


async def observed(api: PlayedApi, generation: int) -> list[str | None]:
    """Wait until every pod was looked at under a dispatch."""
    await api.until(NODE, lambda status: status.get("observedGeneration") == generation)
    await api.until(NODE, lambda status: all(captured(status)))
    return captured(api.status(NODE))


async def test_who_was_captured_in_time_is_still_known(pod: Pod, tmp_path: Path) -> None:
    """It can't be found out again: the pod has had containers since."""
    told = containerd_pod(uid=pod.uid, pid=pod.pid, ips=[ADDRESS])
    state, socket = tmp_path, tmp_path / "nri.sock"
    async with (
        asyncio.timeout(PATIENCE),
        played_api() as api,
        running_runtime(socket) as runtime,
    ):
        metadata = {"namespace": "demo", "name": "web", "uid": "p"}
        api.put(CAPTURE_PROGRAMS, {"metadata": metadata, "spec": encode(program_spec())})
        dispatch(api, 1)
        with running_agent(api.url, state, socket):
            plugin = await runtime.accept()
            await plugin.greet()
            assert await plugin.starts(told) is None
            assert await plugin.creates_container(told) is None
            dispatch(api, 2, pod)
            assert await observed(api, 2) == ["BeforeFirstContainer"]
        for _ in range(KILLED):
            with running_agent(api.url, state, socket):
                await (await runtime.accept()).greet(told)
        with running_agent(api.url, state, socket):
            await (await runtime.accept()).greet(told)
            dispatch(api, 3, pod)
            assert await observed(api, 3) == ["BeforeFirstContainer"]
