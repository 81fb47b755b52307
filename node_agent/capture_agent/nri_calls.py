"""From what a runtime says, by way of the handler, to what it is answered.

Whatever becomes of the handler, each call is answered in time: a plugin that is late is dropped by
the runtime, and then no pod is guarded. Only the creation of containers is ever refused. The start
of a sandbox waits for the handler, but is accepted: containerd before 2.2.6 does not survive its
next restart after a refusal (containerd issue 13609). So is a failed `Synchronize`: containerd goes
on without a plugin that fails it, but leaves it connected, and it would wait forever.
"""

import logging
from collections.abc import Coroutine
from typing import Any, Final

from capture_agent.nri_budget import UndecidedError, within
from capture_agent.nri_handler import NriHandler
from capture_nri.errors import NriProtocolError
from capture_nri.events import (
    Configure,
    Event,
    Lifecycle,
    LifecycleEvent,
    OtherStateChange,
    Registered,
    RegistrationRefused,
    Shutdown,
    Synchronize,
    UnknownMethod,
)
from capture_nri.pod_sandboxes import PodSandbox
from capture_nri.session import PluginSession

MOST_SANDBOXES: Final = 10_000
"""In all pages of a `Synchronize`; a node has some hundred."""

_log = logging.getLogger(__name__)


class RegistrationRefusedError(Exception):
    """The runtime doesn't want this plugin: its words."""


class NriCalls:
    """The calls of one session; `budget` is the handler's time for each, in seconds."""

    def __init__(self, session: PluginSession, handler: NriHandler, budget: float) -> None:
        self._session = session
        self._handler = handler
        self._budget = budget
        self._runtime = ("", "")
        self._pages: tuple[PodSandbox, ...] = ()
        self._connected = False

    async def answer(self, event: Event) -> bytes:
        """Give the bytes to answer with.

        Raises:
            RegistrationRefusedError: there is no going on.
            NriProtocolError: too much.
        """
        match event:
            case Registered():
                return b""
            case RegistrationRefused():
                raise RegistrationRefusedError(f"{event.message} (code {event.code})")
            case UnknownMethod():
                _log.warning("the runtime called the unknown method %s", event.method)
                return self._session.unimplemented(event)
            case LifecycleEvent():
                return await self._lifecycle(event)
            case Configure():
                self._configure(event)
            case Synchronize():
                await self._synchronize(event)
            case Shutdown():
                _log.info("the runtime ends")
            case OtherStateChange():
                pass
        return self._session.accept(event)

    def _configure(self, told: Configure) -> None:
        self._runtime = (told.runtime, told.version)
        if told.request_timeout is not None:
            self._budget = min(self._budget, told.request_timeout / 2)

    async def _synchronize(self, page: Synchronize) -> None:
        self._pages += page.sandboxes
        if len(self._pages) > MOST_SANDBOXES:
            raise NriProtocolError(f"more than {MOST_SANDBOXES} sandboxes on a node")
        if page.more:
            return
        sandboxes, self._pages = self._pages, ()
        await self._tell(self._handler.synchronize(sandboxes), "Synchronize")
        if not self._connected:
            self._connected = True
            self._handler.connected(*self._runtime)

    async def _lifecycle(self, event: LifecycleEvent) -> bytes:
        if event.moment is Lifecycle.CREATE_CONTAINER:
            refusal = await self._decide(event)
            if refusal is not None:
                return self._session.refuse(event, refusal)
        else:
            await self._tell(self._heard(event), _of(event))
        return self._session.accept(event)

    async def _heard(self, event: LifecycleEvent) -> None:
        match event.moment:
            case Lifecycle.RUN_POD_SANDBOX:
                await self._handler.pod_starts(event.sandbox)
            case Lifecycle.STOP_POD_SANDBOX:
                await self._handler.pod_stopped(event.sandbox)
            case Lifecycle.REMOVE_POD_SANDBOX:
                await self._handler.pod_removed(event.sandbox)

    async def _decide(self, event: LifecycleEvent) -> str | None:
        try:
            return await within(self._budget, self._handler.container_starts(event.sandbox))
        except UndecidedError as error:
            _log.error("%s: %s", _of(event), error, exc_info=error.__cause__)
            return self._undecided(event.sandbox)

    def _undecided(self, sandbox: PodSandbox) -> str | None:
        try:
            return self._handler.undecided(sandbox)
        except Exception:  # noqa: BLE001 - whatever it is, the runtime waits
            # Refusing here could keep a node from starting any pod, its own services included.
            _log.exception("no policy for a pod: it starts")
            return None

    async def _tell(self, work: Coroutine[Any, Any, None], what: str) -> None:
        try:
            await within(self._budget, work)
        except UndecidedError as error:
            _log.error("%s: %s", what, error, exc_info=error.__cause__)


def _of(event: LifecycleEvent) -> str:
    sandbox = event.sandbox
    return f"{event.moment.name} of {sandbox.namespace}/{sandbox.name} (UID {sandbox.uid})"
