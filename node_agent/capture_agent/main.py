"""The node agent's wiring: `traffic-capture-agent`."""

import argparse
import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys

from capture_agent.agent import Agent
from capture_agent.agent_lock import StartError, only_agent
from capture_agent.broker_client import Broker
from capture_agent.capabilities import AGENT, keep_only
from capture_agent.kube_client import connected
from capture_agent.kube_errors import NotInClusterError
from capture_agent.options import parse_options
from capture_agent.processes import netns_of
from capture_agent.service_account import in_cluster
from capture_agent.zygote_client import Zygote, started_zygote


def main() -> None:
    """Run the agent until SIGTERM."""
    options = parse_options()
    logging.basicConfig(
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        _allow_descriptors()
        with only_agent(options.state_dir), started_zygote(netns_of(1)) as zygote:
            keep_only(AGENT)
            asyncio.run(_run_until_terminated(options, zygote))
            if zygote.is_lost:
                sys.exit("traffic-capture-agent: its zygote has ended; start again, rules stay")
    except (StartError, NotInClusterError) as error:
        sys.exit(f"traffic-capture-agent: {error}")


def _allow_descriptors() -> None:
    """Use all descriptors that we may have: a pod takes up to six, and some runtimes set 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _run_until_terminated(options: argparse.Namespace, zygote: Zygote) -> None:
    task = asyncio.create_task(_run(options, zygote))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError), zygote.watched(task.cancel):
        await task


async def _run(options: argparse.Namespace, zygote: Zygote) -> None:
    async with (
        Broker(zygote) as opener,
        Broker(zygote) as runner,
        connected(in_cluster(os.environ)) as client,
    ):
        await Agent(options, zygote.host, opener, runner, client).run()
