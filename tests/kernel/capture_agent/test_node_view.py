"""The node is seen through two brokers."""

import asyncio
import os
import signal

from capture_agent.broker_client import Broker
from capture_agent.held_sandboxes import HeldSandboxes
from capture_agent.node_view import NodeView
from capture_agent.zygote_client import Zygote
from kernel.pods import Pod


async def test_a_scan_keeps_no_starting_pod_waiting(zygote: Zygote, pod: Pod) -> None:
    """However long it takes."""
    async with Broker(zygote) as quick, Broker(zygote) as patient:
        held = HeldSandboxes(quick, lambda _: None, lambda _: None)
        view = NodeView(quick, patient, held)
        await view.pod_processes()
        assert patient.pid is not None
        os.kill(patient.pid, signal.SIGSTOP)
        scan = asyncio.create_task(view.pod_processes())
        process = await view.process(pod.pid)
        assert process is not None
        assert process.pod_uid == pod.uid
        assert not scan.done()
        os.kill(patient.pid, signal.SIGCONT)
        assert pod.uid in {each.pod_uid for each in await scan}
