"""The contest for a pod, held alike by the operator and, before it has spoken, by each agent.

Both enter captures with `candidate_of` and choose with `selection.winner`. The operator knows from
the TrafficCapture itself that it is being deleted, and says so in the program (`withdrawn`) before
it lets the capture go; that is how agents know.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from capture_api.capture_programs import CaptureProgram, CaptureProgramHead
from capture_api.node_captures import ProgramRef
from capture_api.selection import LabelSelector
from capture_api.wire import MalformedObjectError, decode


class Candidate(msgspec.Struct, frozen=True):
    """A capture in the contest for the pods of its namespace, by what its CaptureProgram says."""

    selector: LabelSelector
    priority: int
    created: str
    name: str
    ref: ProgramRef
    guards_start: bool = True
    """Whether a pod that it wins is not to start uncaptured."""


def candidate_of(name: str, created: str, head: CaptureProgramHead) -> Candidate | None:
    """Enter a capture; None for one that captures no further pod.

    Args:
        name: of the capture and its program.
        created: when the capture was created, RFC 3339 in UTC.
        head: what its program says.
    """
    if head.withdrawn:
        return None
    return Candidate(
        selector=head.selector,
        priority=head.priority,
        created=created,
        name=name,
        ref=ProgramRef(
            name=name,
            capture_uid=head.capture_uid,
            generation=head.capture_generation,
            hash=head.hash,
        ),
        guards_start=head.guards_start,
    )


def contests(programs: Iterable[CaptureProgram]) -> Mapping[str, tuple[Candidate, ...]]:
    """Find the candidates of each namespace among CapturePrograms.

    A program whose head can't be read is left out: whose pods it wants is not known.
    """
    found: defaultdict[str, list[Candidate]] = defaultdict(list)
    for program in programs:
        candidate = _candidate(program)
        if candidate is not None:
            found[program.metadata.namespace].append(candidate)
    return {namespace: tuple(candidates) for namespace, candidates in found.items()}


def _candidate(program: CaptureProgram) -> Candidate | None:
    try:
        head = decode(program.spec, CaptureProgramHead)
    except MalformedObjectError:
        return None
    metadata = program.metadata
    return candidate_of(metadata.name, head.capture_created or metadata.creation_timestamp, head)
