"""Complete listings."""

from hypothesis import given
from hypothesis import strategies as st

from capture_operator.resources import PODS, ObjectKey
from capture_operator.resync import stale_keys
from unit.capture_operator.objects import raw_pod
from unit.capture_operator.world import World

keys = st.sets(st.builds(ObjectKey, st.just("demo"), st.sampled_from("abcdef")))


@given(keys, keys)
def test_exactly_what_is_held_and_unheard_of_is_stale(
    held: set[ObjectKey], heard_of: set[ObjectKey]
) -> None:
    """Neither what the listing has nor what an event brought meanwhile."""
    stale = stale_keys(held, heard_of)
    assert set(stale) == held - heard_of
    assert len(stale) == len(set(stale))


async def test_a_pod_that_begins_during_a_listing_is_kept() -> None:
    """The listing is older than it."""
    world = World()
    world.server.apply(PODS, raw_pod("a"))
    listing = world.server.list_objects

    async def slow_listing(resource):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        async for raw in listing(resource):
            yield raw
        world.watch("ADDED", PODS, raw_pod("late") | {"x": 1})

    world.server.list_objects = slow_listing  # type: ignore[method-assign]
    await world.resync.list_once(PODS)
    assert {pod.name for pod in world.store.pods_in("demo")} == {"a", "late"}


async def test_a_pod_that_ends_during_a_listing_does_not_come_back() -> None:
    """Although the listing has it."""
    world = World()
    world.server.apply(PODS, raw_pod("a"))
    old = world.server.get(PODS, "demo", "a")
    world.server.delete(PODS, "demo", "a")
    world.intake.put(PODS, old)
    assert world.store.pods_in("demo") == []
