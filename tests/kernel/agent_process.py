"""The real agent on this machine, on a node that is played: its API server speaks without TLS.

    python agent_process.py URL STATE_DIR [NRI_SOCKET]

All else is as in `capture_agent.main`: the zygote, the two brokers, the capabilities given up.
"""

import argparse
import asyncio
import os
import sys

from capture_agent.agent import Agent
from capture_agent.broker_client import Broker
from capture_agent.capabilities import AGENT, keep_only
from capture_agent.kube_client import connected
from capture_agent.options import parse_options
from capture_agent.processes import netns_of
from capture_agent.service_account import ApiServer
from capture_agent.zygote_client import Zygote, started_zygote

NODE = "node"


def main() -> None:
    """Run the agent until it is killed; its zygote goes with it."""
    url, state_dir, *nri_socket = sys.argv[1:]
    arguments = ["--node-name", NODE, "--state-dir", state_dir, "--health-port", "0"]
    for path in nri_socket:
        arguments += ["--nri-socket", path]
    options = parse_options(arguments)
    with started_zygote(netns_of(os.getpid())) as zygote:
        keep_only(AGENT)
        asyncio.run(_run(options, url, zygote))


async def _run(options: argparse.Namespace, url: str, zygote: Zygote) -> None:
    async with (
        Broker(zygote) as opener,
        Broker(zygote) as runner,
        connected(ApiServer(url)) as client,
    ):
        await Agent(options, zygote.host, opener, runner, client).run()


if __name__ == "__main__":
    main()
