"""What is removed before a release goes, and what is said of what could not be."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from capture_api.names import FINALIZER
from capture_operator.api import ApiError, NotFoundError
from capture_operator.resources import CAPTURES, NODE_REPORTS, ObjectKey, Resource
from capture_operator.uninstall import report
from capture_operator.uninstalling import (
    Patience,
    Unconfirmed,
    remove_captures,
    remove_node_captures,
)
from unit.capture_operator.fake_api_server import FakeApiServer
from unit.capture_operator.objects import raw_capture, raw_object

LOST = "not ready, or without a ready node agent: node2"


class Leaving:
    """An API server that also deletes, and what happens to it while one waits.

    Attributes:
        server: what is there.
        now: seconds on the clock.
        meanwhile: called once in each second of waiting.
    """

    def __init__(self) -> None:
        self.server = FakeApiServer()
        self.now = 0.0
        self.meanwhile: Callable[[], None] = lambda: None
        self.patience = Patience(5.0, lambda: self.now, self._pause)

    def list_objects(self, resource: Resource) -> AsyncIterator[dict[str, Any]]:
        """See `uninstalling.Api.list_objects`."""
        return self.server.list_objects(resource)

    async def delete(self, resource: Resource, key: ObjectKey) -> None:
        """See `uninstalling.Api.delete`."""
        if not self.server.exists(resource, *key):
            raise NotFoundError("gone")
        self.server.delete(resource, *key)

    async def replace_fields(
        self, resource: Resource, key: ObjectKey, resource_version: str, fields: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See `uninstalling.Api.replace_fields`."""
        return await self.server.replace_fields(resource, key, resource_version, fields)

    async def _pause(self) -> None:
        self.now += 1
        self.meanwhile()


@pytest.fixture
def leaving() -> Leaving:
    """A cluster without captures."""
    return Leaving()


def held(name: str, *finalizers: str, **fields: object) -> dict[str, Any]:
    """Make a capture with our finalizer, and others."""
    raw = {**raw_capture(name), **fields}
    raw["metadata"]["finalizers"] = [FINALIZER, *finalizers]
    return raw


async def test_captures_are_deleted_and_waited_for(leaving: Leaving) -> None:
    """They go when the operator lets them, and not before."""
    leaving.server.apply(CAPTURES, held("web"))

    def nodes_confirm_after_three_seconds() -> None:
        raw = leaving.server.get(CAPTURES, "demo", "web")
        assert raw["metadata"]["deletionTimestamp"]
        if leaving.now == 3:
            raw["metadata"]["finalizers"] = []
            leaving.server.delete(CAPTURES, "demo", "web")

    leaving.meanwhile = nodes_confirm_after_three_seconds
    assert await remove_captures(leaving, leaving.patience) == ()
    assert leaving.now == 3
    assert not leaving.server.all(CAPTURES)


async def test_what_no_node_confirms_is_let_go_and_told(leaving: Leaving) -> None:
    """Only our finalizer is taken off; another's is not ours to judge."""
    stalled = {"type": "Stalled", "status": "True", "message": LOST}
    calm = {"type": "Reconciling", "status": "False", "message": "nothing to do"}
    leaving.server.apply(CAPTURES, held("api", "example.com/audit"))
    leaving.server.apply(CAPTURES, held("web", status={"conditions": [calm, stalled]}))
    left = await remove_captures(leaving, leaving.patience)
    assert left == (
        Unconfirmed(ObjectKey("demo", "api"), ()),
        Unconfirmed(ObjectKey("demo", "web"), (LOST,)),
    )
    [api] = leaving.server.all(CAPTURES)
    assert api["metadata"]["finalizers"] == ["example.com/audit"]


async def test_a_capture_that_only_others_hold_is_no_concern(leaving: Leaving) -> None:
    """Its rules are gone, or the operator would still hold it."""
    raw = raw_capture()
    raw["metadata"]["finalizers"] = ["example.com/audit"]
    leaving.server.apply(CAPTURES, raw)
    assert await remove_captures(leaving, leaving.patience) == ()


async def test_a_capture_that_comes_back_is_deleted_again(leaving: Leaving) -> None:
    """Somebody's automation may restore what it finds missing, once more."""
    leaving.server.apply(CAPTURES, raw_capture("web"))

    def restored_once() -> None:
        if leaving.now == 1:
            leaving.server.apply(CAPTURES, raw_capture("web"))

    leaving.meanwhile = restored_once
    assert await remove_captures(leaving, leaving.patience) == ()
    assert not leaving.server.all(CAPTURES)


@pytest.mark.parametrize("kind", [CAPTURES, NODE_REPORTS], ids=lambda kind: kind.plural)
async def test_a_kind_that_is_gone_has_no_objects(leaving: Leaving, kind: Resource) -> None:
    """Without its CRD there is nothing to remove."""
    leaving.server.refusals.append(NotFoundError("no such kind"))
    if kind is CAPTURES:
        assert await remove_captures(leaving, leaving.patience) == ()
    else:
        assert await remove_node_captures(leaving) == 0


async def test_an_api_server_that_does_not_answer_is_not_nothing(leaving: Leaving) -> None:
    """Uninstalling must not go on as if there were no captures."""
    leaving.server.refusals.append(ApiError("503"))
    with pytest.raises(ApiError, match="503"):
        await remove_captures(leaving, leaving.patience)


async def test_node_captures_go_last(leaving: Leaving) -> None:
    """Nobody is left to write them again."""
    for node in ("node1", "node2"):
        leaving.server.apply(NODE_REPORTS, raw_object(NODE_REPORTS, "", node, spec={"pods": []}))
    assert await remove_node_captures(leaving) == 2
    assert not leaving.server.all(NODE_REPORTS)


def test_the_report_names_captures_and_nodes() -> None:
    """A person has to know where rules may be left."""
    left = [
        Unconfirmed(ObjectKey("demo", "web"), (LOST,)),
        Unconfirmed(ObjectKey("demo", "api"), ()),
    ]
    said = report(left, 120)
    assert "within 120 s" in said
    assert f"demo/web: {LOST}" in said
    assert "demo/api: nothing is known" in said
    assert "gone from the pods" in report([], 120)
