"""The operator's parts, put together around one API server."""

import asyncio
import random
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeVar

from capture_operator.api import Api
from capture_operator.intake import Intake
from capture_operator.queues import WorkQueue
from capture_operator.recording import Recorder, SeriesKey
from capture_operator.resync import Resync
from capture_operator.schedules import Backoff, Schedule
from capture_operator.store import Store
from capture_operator.work import DispatchWork, Item, ProgramWork, StatusWork, everything
from capture_operator.writing_dispatch import DispatchWriter
from capture_operator.writing_programs import ProgramWriter
from capture_operator.writing_status import StatusWriter

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Queues:
    """One queue per pace of writing."""

    programs: WorkQueue[ProgramWork]
    dispatch: WorkQueue[DispatchWork]
    status: WorkQueue[StatusWork]
    events: WorkQueue[SeriesKey]

    def enqueue(self, item: Item) -> None:
        """Put work where it belongs."""
        match item:
            case ProgramWork():
                self.programs.add(item)
            case DispatchWork():
                self.dispatch.add(item)
            case StatusWork():
                self.status.add(item)


class Operator:
    """Everything but the watches: takes objects in, and writes what follows from them.

    Args:
        api: the API server.
        agent_namespace: where the node agents run.
        excluded_namespaces: where nothing is captured.
        give_up_after: seconds after which a node out of reach holds no deleted capture.
        instance: which operator this is, for the Events.
    """

    def __init__(
        self,
        *,
        api: Api,
        agent_namespace: str,
        excluded_namespaces: Collection[str],
        give_up_after: float,
        instance: str,
    ) -> None:
        self._queues = queues = _queues()
        self.store = store = Store(
            agent_namespace=agent_namespace,
            clock=time.time,
            excluded_namespaces=excluded_namespaces,
        )
        self.intake = intake = Intake(store, queues.enqueue)
        self.resync = Resync(api=api, store=store, intake=intake, random=random.random)
        self._recorder = recorder = Recorder(
            api=api,
            instance=instance,
            clock=time.time,
            token=lambda: uuid.uuid4().hex[:16],
            enqueue=queues.events.add,
        )
        self._dispatch = DispatchWriter(api=api, store=store, intake=intake)
        self._programs = ProgramWriter(
            api=api,
            store=store,
            intake=intake,
            recorder=recorder,
            in_flight=self._dispatch.in_flight,
            give_up_after=give_up_after,
            clock=time.time,
        )
        self._status = StatusWriter(
            api=api,
            store=store,
            intake=intake,
            recorder=recorder,
            release_of=self._programs.release_of,
            clock=time.time,
            random=random.random,
        )

    async def run(self) -> None:
        """Write until cancelled; the store has to be filled before."""
        for item in everything(self.store):
            self._queues.enqueue(item)
        queues = self._queues
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(queues.programs.run(self._programs.bring_up_to_date, workers=4))
            tasks.create_task(queues.dispatch.run(self._dispatch.bring_up_to_date, workers=8))
            tasks.create_task(queues.status.run(self._status.bring_up_to_date, workers=4))
            tasks.create_task(queues.events.run(self._recorder.post, workers=2))
            tasks.create_task(self.resync.repeat())


def _queues() -> Queues:
    return Queues(
        programs=_queue("program", quiet=0.0, longest=0.0),
        dispatch=_queue("dispatch", quiet=0.05, longest=0.25),
        status=_queue("status", quiet=0.1, longest=0.5),
        events=_queue("event", quiet=0.0, longest=0.0),
    )


def _queue(name: str, *, quiet: float, longest: float) -> WorkQueue[K]:
    backoff = Backoff(first=0.1, longest=30.0, random=random.random)
    return WorkQueue(name, Schedule(quiet=quiet, longest=longest, backoff=backoff), time.monotonic)
