"""What kopf does for us, and what it must not do."""

from itertools import islice
from typing import Any

import kopf
import pytest

from capture_api.names import FINALIZER
from capture_operator.resources import NODES, PODS, WATCHED
from capture_operator.watching import EndlessBackoff, kopf_settings, register_watches
from unit.capture_operator.objects import raw_node, raw_pod
from unit.capture_operator.world import World


@pytest.fixture
def registry() -> kopf.OperatorRegistry:
    """A registry with our watches."""
    registry = kopf.OperatorRegistry()
    register_watches(registry, World().intake)
    return registry


def test_only_events_are_handled(registry: kopf.OperatorRegistry) -> None:
    """Any other kind of handler would have kopf write annotations and finalizers to pods."""
    assert len(registry._watching.get_all_handlers()) == len(WATCHED)
    for other in (registry._changing, registry._spawning, registry._indexing, registry._webhooks):
        assert not other.get_all_handlers()


def test_the_finalizer_that_kopf_takes_off_objects_is_not_ours() -> None:
    """It removes the one of its configured name wherever no handler needs it."""
    assert kopf_settings().persistence.finalizer != FINALIZER


def test_kopf_posts_no_events_and_scans_nothing() -> None:
    """Events are ours to post; the kinds that we watch are known."""
    settings = kopf_settings()
    assert not settings.posting.enabled
    assert settings.scanning.disabled


async def test_events_of_a_watch_reach_the_store() -> None:
    """Objects that are listed, added, changed and deleted."""
    world = World()
    registry = kopf.OperatorRegistry()
    register_watches(registry, world.intake)
    handlers: dict[str, Any] = {
        str(handler.id): handler.fn for handler in registry._watching.get_all_handlers()
    }
    node, pod = raw_node("node1"), raw_pod("a")
    await handlers[NODES.plural](event={"type": None, "object": node})
    await handlers[PODS.plural](event={"type": "ADDED", "object": pod})
    assert [held.name for held in world.store.pods_on("node1")] == ["a"]
    pod["metadata"]["resourceVersion"] = "2"
    await handlers[PODS.plural](event={"type": "DELETED", "object": pod})
    assert world.store.pods_on("node1") == []


def test_kopf_never_runs_out_of_attempts() -> None:
    """An API server that is away for an hour is nothing that a restart would help against."""
    delays = list(islice(EndlessBackoff(), 1000))
    assert all(0 < delay <= 45 for delay in delays)
    assert sum(delays) > 3600
