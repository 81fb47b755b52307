"""Objects that an older, looser schema has let in."""

from capture_operator.resources import CAPTURES, PODS, PROGRAMS
from capture_specs import REFUSED
from unit.capture_operator.objects import raw_capture, raw_pod
from unit.capture_operator.world import World


async def test_each_invalid_capture_is_stalled_and_the_valid_one_goes_on() -> None:
    """Every spec that the schema refuses today, stored at once beside a good one."""
    world = World()
    world.add_node()
    world.server.apply(PODS, raw_pod("a"))
    world.server.apply(CAPTURES, raw_capture())
    names = [f"bad-{number}" for number in range(len(REFUSED))]
    for name, refused in zip(names, REFUSED, strict=True):
        world.server.apply(CAPTURES, {**raw_capture(name), "spec": refused.spec})
        await world.settle()
    world.report()
    await world.settle()
    for name in names:
        assert world.condition("Stalled", name) == ("True", "InvalidSpec"), name
        assert not world.server.exists(PROGRAMS, "demo", name)
    assert world.condition("Ready") == ("True", "AllProgrammed")
    assert world.dispatched() == {"a": "web"}
