"""The whole operator on an API server in memory, with a clock that only tests move."""

import itertools
from collections.abc import Collection
from typing import Any

from capture_operator.api import ConflictError
from capture_operator.intake import Intake
from capture_operator.recording import Recorder, SeriesKey
from capture_operator.resources import (
    CAPTURES,
    EVENTS,
    NODE_REPORTS,
    NODES,
    PODS,
    Resource,
)
from capture_operator.resync import Resync
from capture_operator.store import Store
from capture_operator.work import DispatchWork, Item, ProgramWork, StatusWork
from capture_operator.writing_dispatch import DispatchWriter
from capture_operator.writing_programs import ProgramWriter
from capture_operator.writing_status import StatusWriter
from unit.capture_operator.fake_api_server import FakeApiServer
from unit.capture_operator.objects import (
    AGENT_NAMESPACE,
    EPOCH,
    raw_agent,
    raw_node,
)

_ROUNDS = 1000


class World:
    """An operator whose work is done when a test says so, in a fixed order.

    Given the server of another one, it takes over from that.
    """

    def __init__(
        self,
        excluded_namespaces: Collection[str] = (),
        server: FakeApiServer | None = None,
    ) -> None:
        self.now = EPOCH
        self._tokens = itertools.count()
        self.server = server or FakeApiServer()
        self.rechecks: dict[Item, float] = {}
        self.work: dict[Item | SeriesKey, None] = {}
        self.store = Store(
            agent_namespace=AGENT_NAMESPACE,
            clock=self._clock,
            excluded_namespaces=excluded_namespaces,
        )
        self.intake = Intake(self.store, self._enqueue)
        self.resync = Resync(
            api=self.server, store=self.store, intake=self.intake, random=lambda: 0.5
        )
        self.recorder = Recorder(
            api=self.server,
            instance="test",
            clock=self._clock,
            token=lambda: str(next(self._tokens)),
            enqueue=self._enqueue,
        )
        self.dispatch = DispatchWriter(api=self.server, store=self.store, intake=self.intake)
        self.programs = ProgramWriter(
            api=self.server,
            store=self.store,
            intake=self.intake,
            recorder=self.recorder,
            in_flight=self.dispatch.in_flight,
            give_up_after=300.0,
            clock=self._clock,
        )
        self.status = StatusWriter(
            api=self.server,
            store=self.store,
            intake=self.intake,
            recorder=self.recorder,
            release_of=self.programs.release_of,
            clock=self._clock,
            random=lambda: 0.5,
        )
        self.server.watchers.append(self.watch)

    def watch(self, event: str, resource: Resource, raw: dict[str, Any]) -> None:
        """What the watches do."""
        if resource is EVENTS:
            return
        if event == "DELETED":
            self.intake.remove(resource, raw)
        else:
            self.intake.put(resource, raw)

    def add_node(self, name: str = "node1") -> None:
        """Add a node with its agent, both ready."""
        self.server.apply(NODES, raw_node(name))
        self.server.apply(PODS, raw_agent(name))

    async def settle(self) -> None:
        """Do all the work there is, and what follows from it."""
        for _ in range(_ROUNDS):
            if not self.work:
                return
            item = next(iter(self.work))
            del self.work[item]
            try:
                await self._do(item)
            except ConflictError:
                self.work[item] = None
        raise AssertionError(f"the operator does not come to rest: {list(self.work)}")

    async def pass_time(self, seconds: float) -> None:
        """Move the clock, and do what became due."""
        self.now += seconds
        for item, due in list(self.rechecks.items()):
            if due <= self.now:
                self.work[item] = None
        await self.settle()

    def report(self, node: str = "node1", **per_pod: dict[str, Any]) -> None:
        """Have an agent do what it was told, and report it; `per_pod` overrides by pod name."""
        raw = self.server.get(NODE_REPORTS, "", node)
        pods = [_evidence(pod) | per_pod.get(pod["name"], {}) for pod in raw["spec"]["pods"]]
        nri = {"connected": True, "runtime": "containerd", "version": "2.2.1"}
        status = {
            "observedGeneration": raw["metadata"]["generation"],
            "agent": {"version": "1", "ready": True, "backends": ["iptables"], "nri": nri},
            "pods": [pod for pod in pods if pod.get("captureUID")],
        }
        self.server.change(NODE_REPORTS, "", node, status=status)

    def status_of(self, name: str = "web", namespace: str = "demo") -> dict[str, Any]:
        """Read a capture's status."""
        status: dict[str, Any] = self.server.get(CAPTURES, namespace, name)["status"]
        return status

    def condition(self, kind: str, name: str = "web") -> tuple[str, str] | None:
        """Read status and reason of a condition."""
        for condition in self.status_of(name)["conditions"]:
            if condition["type"] == kind:
                return condition["status"], condition["reason"]
        return None

    def dispatched(self, node: str = "node1") -> dict[str, str]:
        """Read to which capture each pod of a node was sent; empty: to none."""
        pods = self.server.get(NODE_REPORTS, "", node)["spec"]["pods"]
        return {pod["name"]: pod.get("program", {}).get("name", "") for pod in pods}

    def events(self) -> list[tuple[str, int]]:
        """Read the Events: reason and count."""
        return [(raw["reason"], raw["count"]) for raw in self.server.all(EVENTS)]

    def _clock(self) -> float:
        return self.now

    def _enqueue(self, item: Item | SeriesKey) -> None:
        self.work.setdefault(item)

    async def _do(self, item: Item | SeriesKey) -> None:
        match item:
            case ProgramWork():
                self._recheck(item, await self.programs.bring_up_to_date(item))
            case DispatchWork():
                await self.dispatch.bring_up_to_date(item)
            case StatusWork():
                self._recheck(item, await self.status.bring_up_to_date(item))
            case SeriesKey():
                await self.recorder.post(item)

    def _recheck(self, item: Item, after: float | None) -> None:
        self.rechecks.pop(item, None)
        if after is not None:
            self.rechecks[item] = self.now + after


def _evidence(pod: dict[str, Any]) -> dict[str, Any]:
    program = pod.get("program", {})
    return {
        "uid": pod["uid"],
        "namespace": pod["namespace"],
        "name": pod["name"],
        "state": "Programmed",
        "captureUID": program.get("captureUID", ""),
        "generation": program.get("generation", 0),
        "hash": program.get("hash", ""),
    }
