"""A check of one pod in which nothing changed, against `nsenter` and `iptables-save`."""

import os
from collections.abc import Callable

import programs
from capture_agent.legacy_tables import LegacyTables
from capture_agent.nft_channel import NftChannel
from capture_nft.dump_cache import DumpCache
from capture_nft.masks import Pattern
from capture_nft.messages import dump_chains, dump_rules, dump_tables, get_generation
from figures import AtLeastTimes, Figure
from in_process import netlink_backend
from kernel.capture_agent.single_tables import viewed, write
from kernel.pods import Pod, started_pod
from tampering import netfilter_sockets
from timing import Took, median, run, spread, took

ROUNDS = 200
IN_A_ROW = 10

_SAVE = "nsenter + iptables-nft-save -t nat, one family"
_LARGEST = 1 << 16
_LONGEST_LIST = 1 << 12
_MICRO = 1e6


async def measure() -> list[Figure]:
    """Measure the three ways to check, and their floors, each beside the tool, in turns."""
    with started_pod() as pod:
        async with netlink_backend() as (backend, held):
            sandbox = pod.sandbox()
            view = await viewed(backend, sandbox)
            await write(backend, sandbox, view, programs.plan())
            await viewed(backend, sandbox)
            open_there = await held.hold(sandbox)
            channel = open_there.channel
            return [
                _figure(
                    "generation",
                    "is nothing changed? the bare question to the kernel",
                    pod,
                    channel.generation,
                    300,
                ),
                _figure(
                    "unchanged",
                    "is nothing changed? both families, legacy tables included",
                    pod,
                    lambda: backend.is_unchanged(sandbox),
                    300,
                ),
                _figure(
                    "unchanged-floor",
                    "the same questions asked and answered, by the kernel's own work alone",
                    pod,
                    _bare_questions(pod, open_there.legacy),
                    None,
                ),
                _figure(
                    "full-content",
                    "are all tables, chains and rules as they should be? both families",
                    pod,
                    _full_check(channel),
                    50,
                ),
                _figure(
                    "full-content-floor",
                    "the same dumps asked for and received, by the kernel's own work alone",
                    pod,
                    _bare_dumps(pod),
                    None,
                ),
            ]


def _full_check(channel: NftChannel) -> Callable[[], object]:
    known: DumpCache[str] = DumpCache()
    generation = channel.generation()

    def dump() -> bytes:
        return channel.dump(generation) or b""

    known.remember(Pattern.of(dump()), "as it should be")
    return lambda: known.find(dump())


def _bare_questions(pod: Pod, legacy: LegacyTables) -> Callable[[], object]:
    (sock,) = netfilter_sockets(pod, 1)
    question, lists = get_generation(), legacy.descriptors

    def ask() -> bytes:
        sock.send(question)
        for descriptor in lists:
            os.pread(descriptor, _LONGEST_LIST, 0)
        return sock.recv(_LARGEST)

    return ask


def _bare_dumps(pod: Pod) -> Callable[[], object]:
    (sock,) = netfilter_sockets(pod, 1)
    requests = (dump_tables(), dump_chains(), dump_rules())

    def dump() -> bytes:
        content = b""
        for request in requests:
            sock.send(request)
            content += sock.recv(_LARGEST)
            sock.recv(_LARGEST)  # its end
        return content

    return dump


def _figure(
    name: str, what: str, pod: Pod, check: Callable[[], object], times_cheaper: float | None
) -> Figure:
    if not check():
        raise RuntimeError(f"{name}: the pod is not as it should be")
    save = ["nsenter", "-t", str(pod.pid), "-n", "iptables-nft-save", "-t", "nat"]
    ours: list[Took] = []
    tool: list[Took] = []
    for _ in range(ROUNDS):
        ours.append(took(check, IN_A_ROW))
        tool.append(took(lambda: run(save)))
    return Figure(
        name=f"check-{name}",
        what=what,
        ours=median([each.wall for each in ours]) * _MICRO,
        reference=median([each.wall for each in tool]) * _MICRO,
        compared_with=_SAVE,
        unit="µs",
        goal=None if times_cheaper is None else AtLeastTimes(times_cheaper),
        details={
            **spread([each.wall for each in ours], _MICRO),
            **spread([each.wall for each in tool], _MICRO, "reference"),
            "ours CPU": median([each.cpu for each in ours]) * _MICRO,
            "reference CPU": median([each.cpu for each in tool]) * _MICRO,
        },
    )
