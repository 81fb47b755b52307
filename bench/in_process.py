"""The agent's backend in this process, over a broker: for what takes microseconds."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from capture_agent.broker_client import Broker
from capture_agent.held_sandboxes import HeldSandboxes
from capture_agent.iptables_backend import IptablesBackend
from capture_agent.netlink_backend import NetlinkBackend
from capture_agent.processes import netns_of
from capture_agent.zygote_client import started_zygote


@asynccontextmanager
async def netlink_backend() -> AsyncIterator[tuple[NetlinkBackend, HeldSandboxes]]:
    """Give a backend and what it holds, for the block."""
    with started_zygote(netns_of(os.getpid())) as zygote:
        async with Broker(zygote) as opener, Broker(zygote) as runner:
            held = HeldSandboxes(opener, lambda _: None, lambda _: None)
            try:
                yield NetlinkBackend(held, IptablesBackend(runner)), held
            finally:
                held.close_all()
