"""The node agent's wiring: `traffic-capture-agent`."""

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

from capture_agent.broker_client import Broker, result_of
from capture_agent.broker_protocol import Listener, Listeners, ListListeners
from capture_agent.examining import Examiner
from capture_agent.informers import Informer, Key
from capture_agent.iptables_backend import IptablesBackend
from capture_agent.journal import BOOT_ID, Journal
from capture_agent.kube_client import KubeClient, connected
from capture_agent.kube_errors import NotInClusterError
from capture_agent.own_node_capture import decode_node_capture, node_captures_path
from capture_agent.pod_loop import PodLoop, Timing
from capture_agent.probes import serving_probes
from capture_agent.processes import netns_of, pod_processes
from capture_agent.reconciling import Reconciler
from capture_agent.sandbox_finder import SandboxFinder
from capture_agent.sandboxes import Sandbox
from capture_agent.service_account import in_cluster
from capture_agent.status_writer import StatusWriter
from capture_api.capture_programs import CaptureProgram
from capture_api.names import API_VERSION, CAPTURE_PROGRAMS
from capture_api.node_captures import AgentInfo, NetnsIdentity, NodeCapture
from capture_api.wire import decode

log = logging.getLogger(__name__)

STUCK = 120.0
"""Seconds for one look at one pod after which the kubelet is to restart the agent."""


class StartError(Exception):
    """The agent can't start; the message says what is missing."""


def main() -> None:
    """Run the agent until SIGTERM."""
    options = _options()
    logging.basicConfig(
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        with _only_agent(options.state_dir):
            asyncio.run(_run_until_terminated(options))
    except (StartError, NotInClusterError) as error:
        sys.exit(f"traffic-capture-agent: {error}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="traffic-capture-agent",
        description="Enforce the TrafficCaptures of the pods of one node. Runs in a pod of the "
        "chart's DaemonSet: it needs the host's PID namespace and NET_ADMIN, NET_RAW, SYS_ADMIN "
        "and SYS_PTRACE.",
    )
    parser.add_argument("--version", action="version", version=version("traffic-capture"))
    parser.add_argument(
        "--node-name",
        default=os.environ.get("NODE_NAME"),
        help="name of this node (default: $NODE_NAME)",
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=Path("/var/lib/traffic-capture"),
        help="directory on the node for the agent's journal and lock (default: %(default)s)",
    )
    parser.add_argument(
        "--poll-interval",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="time between looks at a quiet pod, plus or minus a fifth (default: %(default)s)",
    )
    parser.add_argument(
        "--health-port",
        type=int,
        default=8081,
        help="port of /healthz and /readyz (default: %(default)s)",
    )
    parser.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="info",
        help="(default: %(default)s)",
    )
    options = parser.parse_args()
    if not options.node_name:
        parser.error("--node-name or $NODE_NAME is required")
    return options


@contextlib.contextmanager
def _only_agent(state_dir: Path) -> Iterator[None]:
    """Hold the lock that keeps a second agent off this node."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = (state_dir / "agent.lock").open("w")
    except OSError as error:
        raise StartError(f"--state-dir {state_dir}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartError(f"another agent holds {state_dir}/agent.lock on this node") from error
        yield


async def _run_until_terminated(options: argparse.Namespace) -> None:
    task = asyncio.create_task(_run(options))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _run(options: argparse.Namespace) -> None:
    host = netns_of(1)
    async with Broker(host) as broker, connected(in_cluster(os.environ)) as client:
        await _Agent(options, host, broker, client).run()


class _Agent:
    """The parts of an agent, wired."""

    def __init__(
        self,
        options: argparse.Namespace,
        host: NetnsIdentity,
        broker: Broker,
        client: KubeClient,
    ) -> None:
        self._options = options
        journal = Journal(options.state_dir / "journal.json", BOOT_ID.read_text().strip())
        self._programs = Informer(
            client,
            f"/apis/{API_VERSION}/{CAPTURE_PROGRAMS}",
            partial(decode, kind=CaptureProgram),
            on_change=self._program_changed,
        )
        self._dispatch = Informer(
            client,
            node_captures_path(),
            decode_node_capture,
            on_change=self._dispatch_changed,
            params={"fieldSelector": f"metadata.name={options.node_name}"},
        )
        self._writer = StatusWriter(client, options.node_name, self._own_node_capture)
        examiner = Examiner(
            reconciler=Reconciler(IptablesBackend(broker), journal, time.monotonic, _timestamp),
            finder=SandboxFinder(pod_processes, host, time.monotonic, journal.forget_all_but),
            listeners=partial(_listeners, broker),
            programs=self._programs.objects,
        )
        self._loop = PodLoop(
            examiner.examine,
            self._writer.submit,
            Timing(time.monotonic, partial(random.uniform, 0.8, 1.2), options.poll_interval),
            AgentInfo(version=version("traffic-capture"), ready=True, backends=("iptables",)),
        )

    async def run(self) -> None:
        """Follow the API server and keep the node's pods as they are to be, until cancelled."""
        checks = {"/healthz": self._why_unhealthy, "/readyz": self._why_unready}
        async with (
            serving_probes(self._options.health_port, checks),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(self._programs.run())
            tasks.create_task(self._dispatch.run())
            tasks.create_task(self._writer.run())
            # Before both are complete, a program that is on its way would look like one that
            # does not exist.
            await self._programs.synced.wait()
            await self._dispatch.synced.wait()
            log.info("in step with the API server; node %s", self._options.node_name)
            self._take_dispatch()
            tasks.create_task(self._loop.run())

    def _own_node_capture(self) -> NodeCapture | None:
        return self._dispatch.objects.get(("", self._options.node_name))

    def _dispatch_changed(self, _: Key) -> None:
        self._writer.node_capture_changed()
        if self._programs.synced.is_set():
            self._take_dispatch()

    def _take_dispatch(self) -> None:
        node_capture = self._own_node_capture()
        if node_capture is not None:
            self._loop.dispatch(node_capture)

    def _program_changed(self, key: Key) -> None:
        self._loop.program_changed(*key)

    def _why_unhealthy(self) -> str | None:
        idle = time.monotonic() - self._loop.last_progress
        is_stuck = self._loop.is_busy and idle > STUCK
        return f"no pod was examined for {idle:.0f} s" if is_stuck else None

    def _why_unready(self) -> str | None:
        if not (self._programs.synced.is_set() and self._dispatch.synced.is_set()):
            return "the dispatch of this node has not been received yet"
        return self._why_unhealthy()


async def _listeners(broker: Broker, sandbox: Sandbox) -> tuple[Listener, ...]:
    return result_of(await broker.run(sandbox, ListListeners()), Listeners).listeners


def _timestamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
