"""The status of a node says what its agent holds in pods; its API server is played."""

import asyncio
from pathlib import Path

from capture_api.names import CAPTURE_PROGRAMS, NODE_CAPTURES
from capture_api.node_captures import AgentInfo, NodeCaptureSpec
from capture_api.wire import decode, encode
from kernel.agent_process import NODE
from kernel.played_api import PlayedApi, played_api
from kernel.pods import Pod
from kernel.running_agent import running_agent
from unit.capture_agent.captures import dispatched, program_spec, ref

PATIENCE = 60.0


def dispatch(api: PlayedApi, generation: int, *pods: Pod) -> None:
    """Have these pods of the node captured, and no others."""
    spec = NodeCaptureSpec(pods=tuple(dispatched(ref(), each.uid) for each in pods))
    metadata = {"name": NODE, "uid": "n", "generation": generation}
    api.put(NODE_CAPTURES, {"metadata": metadata, "spec": encode(spec)})


async def until_held(api: PlayedApi, sandboxes: int) -> int:
    """Wait until the status says so many sandboxes; tell of how many descriptors it does."""
    await api.until(NODE, lambda status: agent_in(status).held_sandboxes == sandboxes)
    return agent_in(api.status(NODE)).held_descriptors


def agent_in(status: object) -> AgentInfo:
    """Read what a status says of the agent; nothing before the first one."""
    said = status.get("agent", {}) if isinstance(status, dict) else {}
    return decode(said, AgentInfo)


async def test_the_status_counts_what_is_held_until_the_last_pod_has_gone(
    pod: Pod, other_pod: Pod, tmp_path: Path
) -> None:
    """Every pod takes as many descriptors as any other, and leaves none."""
    async with asyncio.timeout(PATIENCE), played_api() as api:
        metadata = {"namespace": "demo", "name": "web", "uid": "p"}
        api.put(CAPTURE_PROGRAMS, {"metadata": metadata, "spec": encode(program_spec())})
        dispatch(api, 1, pod, other_pod)
        with running_agent(api.url, tmp_path, tmp_path / "no-runtime.sock"):
            of_two = await until_held(api, 2)
            dispatch(api, 2, other_pod)
            pod.kill()
            of_one = await until_held(api, 1)
            assert of_two == 2 * of_one > 0
            dispatch(api, 3)
            await api.until(NODE, lambda status: not status["pods"])
            other_pod.kill()  # nothing but the count changes by that
            assert await until_held(api, 0) == 0
