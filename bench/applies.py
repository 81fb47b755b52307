"""Rules written to a fresh network namespace, against the tools that init containers use."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import programs
from capture_agent.iptables_backend import MARK
from capture_agent.netlink_backend import NetlinkBackend
from capture_agent.nft_channel import NftChannel
from capture_nat.families import Family
from capture_nft.plans import transaction_of
from figures import AtLeastTimes, Figure
from in_process import netlink_backend
from kernel.capture_agent.single_tables import viewed, write
from kernel.pods import Pod
from stand_in_node import started_pods
from tampering import netfilter_sockets
from timing import Took, median, run, spread, stopwatch, took

ROUNDS = 40
MEASURED = (14, 50)
"""Lines of `iptables -t nat -S`."""

_PEER = Path(__file__).parent / "peers" / "python_iptables.py"
_WAYS = 6
_XTABLES = "/usr/lib/x86_64-linux-gnu/xtables"
_MICRO = 1e6
_NFT = "nsenter + iptables-nft-restore"


@dataclass(frozen=True, slots=True)
class _Times:
    """What each way took, namespace by namespace."""

    written: list[Took]
    kernel: list[Took]
    opened: list[Took]
    nft: list[Took]
    legacy: list[Took]
    python_iptables: list[Took]


async def measure() -> list[Figure]:
    """Measure all ways in turns, every one in a namespace that was never written to."""
    with _python_iptables() as peer:
        return [figure for lines in MEASURED for figure in await _measured(lines, peer)]


async def _measured(lines: int, peer: subprocess.Popen[str] | None) -> list[Figure]:
    times = _Times([], [], [], [], [], [])
    with tempfile.NamedTemporaryFile("w") as rules, started_pods(_WAYS * ROUNDS) as pods:
        rules.write(programs.restored(lines))
        rules.flush()
        async with netlink_backend() as (backend, _):
            for i in range(ROUNDS):
                mine, bare, opened, nft, legacy, other = pods[_WAYS * i : _WAYS * (i + 1)]
                times.kernel.append(_send(bare, lines))
                times.written.append(await _write(backend, mine, lines))
                times.opened.append(await _open_and_write(backend, opened, lines))
                times.nft.append(_restore("nft", nft, rules.name))
                times.legacy.append(_restore("legacy", legacy, rules.name))
                if peer is not None:
                    times.python_iptables.append(_by_peer(peer, other, lines))
    return list(_figures(lines, times))


async def _write(backend: NetlinkBackend, pod: Pod, lines: int) -> Took:
    sandbox, plan = pod.sandbox(), programs.plan(lines)
    view = await viewed(backend, sandbox)
    with stopwatch() as watch:
        await write(backend, sandbox, view, plan)
    return watch.took


async def _open_and_write(backend: NetlinkBackend, pod: Pod, lines: int) -> Took:
    sandbox, plan = pod.sandbox(), programs.plan(lines)
    with stopwatch() as watch:
        view = await viewed(backend, sandbox)
        await write(backend, sandbox, view, plan)
    return watch.took


def _send(pod: Pod, lines: int) -> Took:
    """Have the kernel do it, and nothing else: no user space takes less."""
    blob = transaction_of({Family.IPV4: programs.plan(lines)}, MARK, {})
    (sock,) = netfilter_sockets(pod, 1)
    with contextlib.closing(NftChannel(sock)) as channel:
        batch = blob.at(channel.generation()) if blob else b""
        return took(lambda: sock.send(batch))


def _restore(variant: str, pod: Pod, rules: str) -> Took:
    tool = f"iptables-{variant}-restore"
    return took(lambda: run(["nsenter", "-t", str(pod.pid), "-n", tool, "--noflush"], rules))


def _by_peer(peer: subprocess.Popen[str], pod: Pod, lines: int) -> Took:
    answer = _asked(peer, f"{pod.pid} {lines}\n")
    wall, cpu = map(float, answer.split())
    return Took(wall, cpu)


def _figures(lines: int, times: _Times) -> Iterator[Figure]:
    held, opening = "over the held socket", "its sockets opened by the broker and its rules read"
    legacy = "nsenter + iptables-legacy-restore"
    library = "python-iptables (legacy), its process and library loaded before"
    yield _figure(lines, "", held, times.written, times.nft, _NFT)
    yield _figure(lines, "-floor", "by the kernel's own work alone", times.kernel, times.nft, _NFT)
    yield _figure(lines, "-opening", opening, times.opened, times.nft, _NFT)
    yield _figure(lines, "-legacy", held, times.written, times.legacy, legacy)
    if times.python_iptables:
        yield _figure(lines, "-python", held, times.written, times.python_iptables, library)


def _figure(  # noqa: PLR0913, PLR0917 - one row of the table above
    lines: int, name: str, how: str, ours: list[Took], reference: list[Took], compared_with: str
) -> Figure:
    is_goal = lines == programs.REFERENCE_LINES and not name
    return Figure(
        name=f"apply-{lines}{name}",
        what=f"{lines} rules written to a fresh namespace, {how}",
        ours=median([each.wall for each in ours]) * _MICRO,
        reference=median([each.wall for each in reference]) * _MICRO,
        compared_with=compared_with,
        unit="µs",
        goal=AtLeastTimes(20) if is_goal else None,
        details={
            **spread([each.wall for each in ours], _MICRO),
            **spread([each.wall for each in reference], _MICRO, "reference"),
            "ours CPU": median([each.cpu for each in ours]) * _MICRO,
            "reference CPU": median([each.cpu for each in reference]) * _MICRO,
        },
    )


@contextlib.contextmanager
def _python_iptables() -> Iterator[subprocess.Popen[str] | None]:
    """Start the peer; None where it can't be installed: it is built from source."""
    uv = shutil.which("uv")
    if uv is None:
        yield None
        return
    environment = {**os.environ, "XTABLES_LIBDIR": _XTABLES}
    with subprocess.Popen(
        [uv, "run", "--no-project", "--script", str(_PEER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as peer:
        yield peer if _asked(peer, "") == "ready\n" else None


def _asked(peer: subprocess.Popen[str], request: str) -> str:
    if peer.stdin is None or peer.stdout is None:
        raise RuntimeError("the peer has no pipes")
    peer.stdin.write(request)
    peer.stdin.flush()
    return peer.stdout.readline()
