"""Of the sandboxes that a runtime tells of, each pod has the one that lives."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from capture_agent.told_sandboxes import ToldSandboxes
from capture_nri.pod_sandboxes import PodSandbox
from unit.capture_agent.gated_node import GatedNode, described

LISTED = st.lists(
    st.builds(
        described,
        st.sampled_from(["a", "b"]),
        sandbox=st.uuids().map(str),
        pid=st.integers(0, 2),
    ),
    max_size=6,
)


def told() -> ToldSandboxes:
    """Begin with nothing told."""
    return ToldSandboxes(GatedNode(), lambda _: None)


@given(LISTED)
def test_each_pod_has_one_and_one_with_a_process_if_there_is_any(listed: list[PodSandbox]) -> None:
    """In whichever order they are listed; nothing is invented."""
    living = told().living(listed)
    assert all(each in listed for each in living)
    assert sorted(each.uid for each in living) == sorted({each.uid for each in listed})
    for chosen in living:
        of_pod = [each for each in listed if each.uid == chosen.uid]
        assert bool(chosen.pid) is any(each.pid for each in of_pod)


@given(LISTED.filter(bool), st.data())
def test_what_is_known_to_live_stays(listed: list[PodSandbox], data: st.DataObject) -> None:
    """Unless only others have a process."""
    sandboxes = told()
    known = data.draw(st.sampled_from(listed))
    sandboxes.tell(known)
    living = {each.uid: each for each in sandboxes.living(listed)}
    others = [each for each in listed if each.uid == known.uid]
    if known.pid or not any(each.pid for each in others):
        assert living[known.uid] == known
    else:
        assert living[known.uid].pid


def test_what_the_runtime_says_anew_of_a_sandbox_counts() -> None:
    """And is passed on; what it repeats is not."""
    node = GatedNode()
    sandboxes = ToldSandboxes(node, lambda _: None)
    for each in (described(), described(), replace(described(), ips=("10.0.0.9",))):
        sandboxes.tell(each)
    assert node.told == ["s1", "s1"]
    (sandbox,) = sandboxes
    assert sandbox.described.ips == ("10.0.0.9",)
