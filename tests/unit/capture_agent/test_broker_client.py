"""What the agent makes of a broker's answers."""

import os
import socket
from typing import cast

import pytest

from capture_agent.broker_client import Broker, BrokerLostError
from capture_agent.broker_protocol import LEGACY_LISTS, Opened, Reply, SocketKind, frame
from capture_agent.zygote_client import Forked, Zygote
from unit.capture_agent.captures import SANDBOX


class ZygoteOfOneAnswer:
    """Its broker has answered already, with so many descriptors."""

    def __init__(self, reply: Reply, descriptors: int) -> None:
        self._answer = frame(reply)
        self._descriptors = descriptors

    async def fork(self) -> Forked:
        """Give the agent's end of a stream on which the answer is."""
        ours, brokers = socket.socketpair()
        ours.settimeout(0)
        sent = [os.memfd_create("sent") for _ in range(self._descriptors)]
        socket.send_fds(brokers, [self._answer], sent)
        for descriptor in sent:
            os.close(descriptor)
        self.brokers = brokers
        return Forked(pid=0, connection=ours)

    async def end(self, _: int) -> None:
        """End the broker."""
        self.brokers.close()


def broker(reply: Reply, descriptors: int) -> Broker:
    """Make a broker that gives one answer."""
    return Broker(cast("Zygote", ZygoteOfOneAnswer(reply, descriptors)))


async def test_what_a_namespace_does_not_have_has_no_descriptor() -> None:
    """The others are what was asked for, in that order."""
    reply = Opened(SANDBOX, own_user_namespace=False, absent=(SocketKind.LEGACY_IPV4,))
    async with broker(reply, 1) as asked:
        opened = await asked.open(SANDBOX, *LEGACY_LISTS)
    assert opened.legacy_lists.keys() == {LEGACY_LISTS[SocketKind.LEGACY_IPV6]}
    opened.close()


async def test_as_many_descriptors_as_are_not_absent_make_an_answer() -> None:
    """Anything else was the answer to another question."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no file system
    for reply, descriptors in (
        (Opened(SANDBOX, own_user_namespace=False), 1),
        (Opened(SANDBOX, own_user_namespace=False, absent=tuple(LEGACY_LISTS)), 1),
    ):
        async with broker(reply, descriptors) as asked:
            with pytest.raises(BrokerLostError):
                await asked.open(SANDBOX, *LEGACY_LISTS)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - no file system
