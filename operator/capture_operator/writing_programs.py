"""Writes captures' finalizers and CapturePrograms, and lets deleted captures go."""

from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from capture_api.capture_programs import CaptureProgramSpec
from capture_api.names import FINALIZER
from capture_api.node_captures import NodeCaptureSpec
from capture_api.wire import encode
from capture_operator.api import Api, NotFoundError
from capture_operator.captures import Capture, Resolution
from capture_operator.happenings import RELEASED
from capture_operator.intake import Intake
from capture_operator.programs import HeldProgram, owned_by_capture, program_spec
from capture_operator.reachability import out_of_reach
from capture_operator.recording import Recorder
from capture_operator.releasing import Reach, Release, refers_to, release
from capture_operator.resources import CAPTURES, PROGRAMS, ObjectKey
from capture_operator.store import Store
from capture_operator.work import ProgramWork

_IN_FLIGHT_RECHECK = 0.1


class ProgramWriter:
    """Brings one capture's finalizer and CaptureProgram in line with its spec.

    The order matters: first the finalizer, then the program, and only a program that is there is
    dispatched. So no chain can be written for a capture that could vanish unnoticed. A capture that
    goes has its program withdrawn first, so that no agent matches a starting pod with it.

    Args:
        in_flight: dispatches that are being written, by node.
        give_up_after: seconds after which a node that is out of reach holds no capture.
        clock: seconds since the epoch.
    """

    def __init__(  # noqa: PLR0913 - wiring
        self,
        *,
        api: Api,
        store: Store,
        intake: Intake,
        recorder: Recorder,
        in_flight: Mapping[str, NodeCaptureSpec],
        give_up_after: float,
        clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._store = store
        self._intake = intake
        self._recorder = recorder
        self._in_flight = in_flight
        self._give_up_after = give_up_after
        self._clock = clock

    async def bring_up_to_date(self, work: ProgramWork) -> float | None:
        """Do what is to be done for one capture; returns when to look again, in seconds."""
        capture = self._store.captures.get(work.capture)
        if capture is None:
            return None
        if capture.deleting or capture.excluded:
            await self._withdraw(work.capture, capture)
        if capture.deleting:
            return await self._let_go(work.capture, capture)
        if isinstance(capture.resolution, Resolution):
            wanted = program_spec(capture, capture.resolution)
            await self._hold(work.capture, capture)
            await self._write(work.capture, capture, wanted)
        return None

    def release_of(self, capture: Capture) -> Release:
        """Find out what still holds a capture that is being deleted."""
        metadata = capture.metadata
        nodes = list(self._store.nodes.values())
        reach = Reach(
            nodes=frozenset(node.name for node in nodes),
            since=out_of_reach(nodes, self._store.absences),
            give_up_after=self._give_up_after,
        )
        reports = self._store.reports.values()
        return release(metadata.uid, metadata.namespace, reports, reach, self._clock())

    async def _hold(self, key: ObjectKey, capture: Capture) -> None:
        if FINALIZER not in capture.metadata.finalizers:
            await self._set_finalizers(key, capture, (*capture.metadata.finalizers, FINALIZER))

    async def _withdraw(self, key: ObjectKey, capture: Capture) -> None:
        held = self._store.programs.get(key)
        if held is None or held.spec is None or held.spec.withdrawn:
            return
        if held.spec.capture_uid == capture.metadata.uid:
            wanted = msgspec.structs.replace(held.spec, withdrawn=True)
            with suppress(NotFoundError):  # gone is as good
                await self._replace(key, capture, wanted, held)

    async def _let_go(self, key: ObjectKey, capture: Capture) -> float | None:
        if FINALIZER not in capture.metadata.finalizers:
            return None
        if any(refers_to(spec, capture.metadata.uid) for spec in self._in_flight.values()):
            return _IN_FLIGHT_RECHECK
        release = self.release_of(capture)
        if not release.done:
            return release.recheck_after
        others = tuple(name for name in capture.metadata.finalizers if name != FINALIZER)
        await self._set_finalizers(key, capture, others)
        self._recorder.note(capture.metadata, RELEASED)
        return None

    async def _set_finalizers(
        self, key: ObjectKey, capture: Capture, finalizers: tuple[str, ...]
    ) -> None:
        try:
            written = await self._api.replace_fields(
                CAPTURES,
                key,
                capture.metadata.resource_version,
                {"/metadata/finalizers": list(finalizers)},
            )
        except NotFoundError:
            return  # it is gone, and the watch says so
        self._intake.put(CAPTURES, written)

    async def _write(self, key: ObjectKey, capture: Capture, wanted: CaptureProgramSpec) -> None:
        held = self._store.programs.get(key)
        if held is not None and held.spec == wanted:
            return
        if held is None:
            await self._create(key, capture, wanted)
        else:
            await self._replace(key, capture, wanted, held)

    async def _create(self, key: ObjectKey, capture: Capture, wanted: CaptureProgramSpec) -> None:
        body = {
            "apiVersion": PROGRAMS.api_version,
            "kind": PROGRAMS.kind,
            "metadata": {
                "namespace": key.namespace,
                "name": key.name,
                "ownerReferences": owned_by_capture(capture),
            },
            "spec": encode(wanted),
        }
        self._intake.put(PROGRAMS, await self._api.create(PROGRAMS, body))

    async def _replace(
        self, key: ObjectKey, capture: Capture, wanted: CaptureProgramSpec, held: HeldProgram
    ) -> None:
        fields = {"/metadata/ownerReferences": owned_by_capture(capture), "/spec": encode(wanted)}
        version = held.metadata.resource_version
        self._intake.put(PROGRAMS, await self._api.replace_fields(PROGRAMS, key, version, fields))
