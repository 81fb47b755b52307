"""The parts of a node agent, wired."""

import argparse
import asyncio
import contextlib
import gc
import logging
import random
import time
from functools import partial
from importlib.metadata import version

from capture_agent import nri_state
from capture_agent.broker_client import Broker, BrokerLostError
from capture_agent.candidates import Candidates
from capture_agent.checkpoint_file import CheckpointFile
from capture_agent.checkpoints import Checkpoint, checkpoint_of
from capture_agent.examining import Clocks, Examiner
from capture_agent.flow_resets import FlowResetter
from capture_agent.held_sandboxes import HeldSandboxes
from capture_agent.informers import Informer, Key
from capture_agent.iptables_backend import IptablesBackend
from capture_agent.journal import BOOT_ID, Journal
from capture_agent.kept_flows import FlowKeeper
from capture_agent.kube_client import KubeClient
from capture_agent.listening import Listener
from capture_agent.looks import Timing
from capture_agent.netlink_backend import NetlinkBackend
from capture_agent.netlink_views import NETLINK
from capture_agent.node_view import NodeView
from capture_agent.nri_connection import NriConnection
from capture_agent.own_node_capture import decode_node_capture, node_captures_path
from capture_agent.pod_loop import PodLoop
from capture_agent.probes import serving_probes
from capture_agent.python_iptables_backend import legacy_tools
from capture_agent.reconciling import Reconciler
from capture_agent.reporting import holding
from capture_agent.sandbox_finder import SandboxFinder
from capture_agent.sandboxes import Sandbox
from capture_agent.start_gate import StartGate
from capture_agent.status_writer import StatusWriter
from capture_agent.tcp_sockets import tcp_listeners
from capture_agent.timestamps import rfc3339
from capture_agent.told_sandboxes import ToldSandboxes
from capture_api import node_captures
from capture_api.capture_programs import CaptureProgram
from capture_api.names import API_VERSION, CAPTURE_PROGRAMS
from capture_api.node_captures import AgentInfo, NetnsIdentity, NodeCapture, NodeCaptureStatus
from capture_api.wire import decode

log = logging.getLogger(__name__)

STUCK = 120.0
"""Seconds for one look at one pod after which the kubelet is to restart the agent."""

PATIENCE = 3.0
"""Seconds for the API server to tell what there is to do, before the last known dispatch counts."""

COALESCING = 0.01
"""Seconds in which changes become one status: whoever waits for a look is answered first."""

INDISPENSABLE = frozenset({"kube-system"})
"""Namespaces whose pods are never kept from starting, besides our own."""


class Agent:
    """Keeps the pods of a node as they are to be.

    `opener` opens sockets and must never wait behind `runner`, which runs programs.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        host: NetnsIdentity,
        opener: Broker,
        runner: Broker,
        client: KubeClient,
    ) -> None:
        self._options = options
        self._boot_id = boot_id = BOOT_ID.read_text().strip()
        self._journal = journal = Journal(options.state_dir / "journal.json", boot_id)
        self._file = CheckpointFile(options.state_dir / "dispatch.json", boot_id)
        kept = self._file.read()
        self._programs = Informer(
            client,
            f"/apis/{API_VERSION}/{CAPTURE_PROGRAMS}",
            partial(decode, kind=CaptureProgram),
            on_change=self._program_changed,
        )
        self._programs.begin_with(
            {(found.metadata.namespace, found.metadata.name): found for found in kept.programs}
        )
        self._dispatch = Informer(
            client,
            node_captures_path(),
            decode_node_capture,
            on_change=self._dispatch_changed,
            params={"fieldSelector": f"metadata.name={options.node_name}"},
        )
        self._writer = StatusWriter(client, options.node_name, self._own_node_capture)
        self._held = HeldSandboxes(
            opener,
            changed=self._pod_changed,
            ended=self._sandbox_ended,
            counted=self._status_changed,
        )
        node = NodeView(quick=opener, patient=runner, held=self._held)
        self._finder = SandboxFinder(node, host, time.monotonic, journal.forget_all_but)
        backend = NetlinkBackend(self._held, IptablesBackend(runner, legacy_tools()))
        examiner = Examiner(
            reconciler=Reconciler(
                backend, journal, time.monotonic, time.time, FlowKeeper(opener).keep
            ),
            finder=self._finder,
            listeners=partial(_listeners, self._held),
            programs=self._programs.objects,
            clocks=Clocks(time.monotonic, time.time, _seconds_since_boot),
            sandboxed=tuple(options.sandboxed_runtimes.split(",")),
            reset=FlowResetter(runner).reset,
        )
        self._nri = None if options.nri_socket is None else _unconnected()
        self._loop = PodLoop(
            examiner.examine,
            self._status_changed,
            Timing(time.monotonic, partial(random.uniform, 0.8, 1.2), options.poll_interval),
            self._agent_info(),
            kept,
        )
        self._gate = StartGate(
            loop=self._loop,
            sandboxes=ToldSandboxes(self._finder, self._held.close),
            candidates=Candidates(self._programs.objects),
            never_refused=INDISPENSABLE | {options.namespace},
            told=self._nri_told,
        )
        self._published = NodeCaptureStatus()
        self._publishes_soon = False
        self._goes_on = False

    async def run(self) -> None:
        """Follow the API server and keep the node's pods as they are to be, until cancelled.

        An agent that ends with nothing of ours in any pod leaves no file on the node.
        """
        # Modules are 45,000 objects and never garbage: to look through them takes 25 ms, and no pod
        # is repaired or starts meanwhile.
        gc.collect()
        gc.freeze()
        try:
            await self._run()
        finally:
            self._held.close_all()
            with contextlib.suppress(BrokerLostError):  # then nothing is known, and all stays
                await self._clean_up()

    async def _clean_up(self) -> None:
        if not self._dispatch.synced.is_set():
            return  # nobody said that there is nothing to go on with
        await self._finder.rescan()  # forgets the sandboxes that are gone
        if self._journal.is_empty and not any(record.held_by for record in self._loop.records):
            self._file.remove()
            self._journal.remove()

    async def _run(self) -> None:
        checks = {"/healthz": self._why_unhealthy, "/readyz": self._why_unready}
        async with (
            serving_probes(self._options.health_port, checks),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(self._programs.run())
            tasks.create_task(self._dispatch.run())
            tasks.create_task(self._writer.run())
            tasks.create_task(self._file.run(self._checkpoint))
            await self._begin()
            tasks.create_task(self._loop.run())
            if self._options.nri_socket is not None:
                connection = NriConnection(self._gate, socket=self._options.nri_socket)
                tasks.create_task(connection.run())
            await self._in_step()
            log.info("in step with the API server; node %s", self._options.node_name)
            self._goes_on = False
            self._take_dispatch()

    async def _begin(self) -> None:
        """Get what there is to do: from the API server, or else from what was kept."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._in_step()
        except TimeoutError:
            log.warning("the API server does not answer: going on from the last known dispatch")
            self._goes_on = True
            self._loop.go_on()
            return
        if self._own_node_capture() is None:
            self._loop.go_on()  # it was deleted, and that takes nothing away

    async def _in_step(self) -> None:
        # Before both are complete, a program that is on its way would look like one that does
        # not exist.
        await self._programs.synced.wait()
        await self._dispatch.synced.wait()

    def _status_changed(self) -> None:
        if not self._publishes_soon:
            self._publishes_soon = True
            asyncio.get_running_loop().call_later(COALESCING, self._publish)

    def _publish(self) -> None:
        self._publishes_soon = False
        status = self._loop.status
        if status != self._published:
            self._published = status
            self._file.outdated()
        self._writer.submit(holding(status, len(self._held), len(self._held.descriptors)))

    def _checkpoint(self) -> Checkpoint:
        # As long as nothing is dispatched nothing else is known: it must not be lost to the next.
        return self._loop.kept or checkpoint_of(
            self._loop.records, self._loop.past_drift, self._programs.objects
        )

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
            self._file.outdated()

    def _program_changed(self, key: Key) -> None:
        self._loop.program_changed(*key)
        self._gate.program_changed(*key)
        self._file.outdated()

    def _pod_changed(self, pod_uid: str) -> None:
        self._loop.look_again(pod_uid)

    def _sandbox_ended(self, pod_uid: str) -> None:
        self._finder.forget(pod_uid)
        self._loop.look_again(pod_uid)

    def _nri_told(self, *, connected: bool, runtime: str, version: str) -> None:
        before = self._nri or _unconnected()
        now = rfc3339(time.time())
        self._nri = nri_state.told(
            before, connected=connected, runtime=runtime, version=version, now=now
        )
        if self._nri != before:
            self._loop.introduce(self._agent_info())

    def _agent_info(self) -> AgentInfo:
        return AgentInfo(
            version=version("traffic-capture"),
            ready=True,
            boot_id=self._boot_id,
            backends=(NETLINK, "iptables"),
            nri=self._nri,
        )

    def _why_unhealthy(self) -> str | None:
        look = self._loop.longest_look
        return f"a look at a pod has lasted {look:.0f} s" if look > STUCK else None

    def _why_unready(self) -> str | None:
        if self._goes_on:
            return "going on from the last known dispatch: the API server does not answer"
        if not (self._programs.synced.is_set() and self._dispatch.synced.is_set()):
            return "the dispatch of this node has not been received yet"
        return self._why_unhealthy()


async def _listeners(held: HeldSandboxes, sandbox: Sandbox) -> tuple[Listener, ...]:
    return tcp_listeners((await held.hold(sandbox)).sock_diag)


def _seconds_since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _unconnected() -> node_captures.NriConnection:
    return node_captures.NriConnection(connected=False, since=rfc3339(time.time()))
