"""Before traffic-capture leaves a cluster: its rules leave the pods, and its objects go.

The operator and the agents still run while captures are removed, and do it the usual way: a
deleted capture is held by our finalizer until every node has confirmed. What is not confirmed in
time is let go and told: with the operator gone nobody would ever take the finalizer off, and the
capture, and with it its namespace, could not be deleted.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from capture_api.names import FINALIZER
from capture_operator.api import NotFoundError
from capture_operator.resources import CAPTURES, NODE_REPORTS, ObjectKey, Resource

Raw = dict[str, Any]

_WORTH_TELLING: Final = ("Stalled", "Reconciling")


class Api(Protocol):
    """Listing, deleting and releasing objects; `api.Api` and one more verb."""

    def list_objects(self, resource: Resource) -> AsyncIterator[Raw]:
        """See `api.Api.list_objects`."""

    async def delete(self, resource: Resource, key: ObjectKey) -> None:
        """Ask for an object's deletion.

        Raises:
            NotFoundError: it is gone.
            ApiError: nothing was asked.
        """

    async def replace_fields(
        self, resource: Resource, key: ObjectKey, resource_version: str, fields: Mapping[str, Any]
    ) -> Raw:
        """See `api.Api.replace_fields`."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for the nodes, in seconds of `clock`; `pause` waits between two looks."""

    seconds: float
    clock: Callable[[], float]
    pause: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A capture that was let go although its rules may still be in pods, and what is known."""

    key: ObjectKey
    why: tuple[str, ...]


async def remove_captures(api: Api, patience: Patience) -> tuple[Unconfirmed, ...]:
    """Delete every TrafficCapture, and wait until the nodes have removed their rules.

    Returns what was not confirmed in time.

    Raises:
        ApiError: the API server can't be asked.
    """
    deadline = patience.clock() + patience.seconds
    while left := await _listed(api, CAPTURES):
        for raw in left:
            if "deletionTimestamp" not in raw["metadata"]:
                await _delete(api, CAPTURES, raw)
        if patience.clock() >= deadline:
            return tuple([await _let_go(api, raw) for raw in left if _is_held(raw)])
        await patience.pause()
    return ()


async def remove_node_captures(api: Api) -> int:
    """Delete every NodeCapture, once nobody writes them any more; return how many there were.

    Raises:
        ApiError: the API server can't be asked.
    """
    found = await _listed(api, NODE_REPORTS)
    for raw in found:
        await _delete(api, NODE_REPORTS, raw)
    return len(found)


async def _listed(api: Api, resource: Resource) -> list[Raw]:
    try:
        return [raw async for raw in api.list_objects(resource)]
    except NotFoundError:
        return []  # the kind is gone already, and every object with it


async def _delete(api: Api, resource: Resource, raw: Raw) -> None:
    try:
        await api.delete(resource, _key(raw))
    except NotFoundError:
        return  # somebody else was faster


async def _let_go(api: Api, raw: Raw) -> Unconfirmed:
    others = [name for name in raw["metadata"]["finalizers"] if name != FINALIZER]
    with contextlib.suppress(NotFoundError):  # it went in this moment
        await api.replace_fields(CAPTURES, _key(raw), "", {"/metadata/finalizers": others})
    return Unconfirmed(_key(raw), tuple(_reasons(raw)))


def _is_held(raw: Raw) -> bool:
    return FINALIZER in raw["metadata"].get("finalizers", ())


def _reasons(raw: Raw) -> list[str]:
    conditions = raw.get("status", {}).get("conditions", ())
    found = {entry["type"]: entry for entry in conditions if entry["status"] == "True"}
    return [str(found[kind].get("message", "")) for kind in _WORTH_TELLING if kind in found]


def _key(raw: Raw) -> ObjectKey:
    return ObjectKey(raw["metadata"].get("namespace", ""), raw["metadata"]["name"])
