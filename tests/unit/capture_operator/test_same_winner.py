"""An agent that meets a starting pod chooses its capture as the operator will."""

from collections.abc import Mapping

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from capture_api.capture_programs import CaptureProgram
from capture_api.contests import Candidate, contests
from capture_api.meta import ObjectMeta
from capture_api.selection import winner
from capture_api.wire import decode, encode
from capture_operator.captures import Capture, Resolution, read_capture
from capture_operator.dispatching import candidate
from capture_operator.programs import HeldProgram, program_spec
from unit.capture_operator.objects import raw_capture

WRITTEN = "2026-03-03T00:00:00Z"
"""When programs were written: what counts is when their captures were."""


def capture(
    name: str, created: str, priority: int, labels: dict[str, str], *, deleting: bool
) -> Capture:
    """Make a capture of the pods with these labels."""
    raw = raw_capture(name, labels=labels, priority=priority)
    raw["metadata"]["creationTimestamp"] = created
    if deleting:
        raw["metadata"]["deletionTimestamp"] = WRITTEN
    return read_capture(raw)


def written(of: Capture) -> HeldProgram:
    """Write its program, as the operator does once it has seen the capture."""
    assert isinstance(of.resolution, Resolution)
    spec = program_spec(of, of.resolution)
    spec = msgspec.structs.replace(spec, withdrawn=of.deleting)
    metadata = ObjectMeta(
        name=of.metadata.name, uid="p", namespace="demo", creation_timestamp=WRITTEN
    )
    return HeldProgram(metadata, spec)


def read(held: HeldProgram) -> CaptureProgram:
    """Read a program as an agent does, from what the API server has of it."""
    raw = msgspec.json.decode(msgspec.json.encode(encode(held)))
    return decode(raw, CaptureProgram)


labels = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2)
captures = st.lists(
    st.builds(
        capture,
        st.sampled_from(["c1", "c2", "c3", "c4"]),
        st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
        st.integers(-1, 1),
        labels,
        deleting=st.booleans(),
    ),
    max_size=4,
    unique_by=lambda item: item.metadata.name,
)

YOUNG_A = capture("a", "2026-01-02T00:00:00Z", 0, {}, deleting=False)
OLD_B = capture("b", "2026-01-01T00:00:00Z", 0, {}, deleting=False)


@given(captures, labels)
@example([YOUNG_A, OLD_B], {})
def test_agent_and_operator_choose_the_same_capture(
    captures: list[Capture], pod: Mapping[str, str]
) -> None:
    """From CapturePrograms alone, with none that is being deleted."""
    programs = [written(one) for one in captures]
    entered = map(candidate, captures, programs)
    by_operator = winner([entry for entry in entered if entry is not None], pod)
    by_agent = winner(contests(map(read, programs)).get("demo", ()), pod)
    assert by_agent == by_operator
    assert _name(by_agent) not in {one.metadata.name for one in captures if one.deleting}


def _name(candidate: Candidate | None) -> str:
    return candidate.name if candidate else ""
