"""What outlives the agent on its node: its last dispatch, with all that it knows of each pod. Pure.

With the API server away, a restarted agent goes on from this. With the API server there, its word
on what is dispatched counts, and only the evidence is taken from here: it says more than
`NodeCapture.status` does (which drift was counted, how long repairs have to wait), and is younger.
"""

from collections.abc import Iterable
from itertools import chain

import msgspec
from msgspec.structs import replace

from capture_agent.desired import Programs
from capture_agent.records import PodRecord, record_of
from capture_api.capture_programs import CaptureProgram
from capture_api.node_captures import NodeCaptureStatus, PastDrift


class Checkpoint(msgspec.Struct, frozen=True):
    """The dispatched pods as they were known last, and the programs that they refer to."""

    records: tuple[PodRecord, ...] = ()
    past_drift: tuple[PastDrift, ...] = ()
    programs: tuple[CaptureProgram, ...] = ()


def checkpoint_of(
    records: Iterable[PodRecord], past_drift: tuple[PastDrift, ...], programs: Programs
) -> Checkpoint:
    """Take down what is known, each program once."""
    records = tuple(replace(record, program=None) for record in records)
    refs = {
        (record.pod.namespace, record.pod.program.name)
        for record in records
        if record.pod.program is not None
    }
    found = tuple(programs[ref] for ref in sorted(refs) if ref in programs)
    return Checkpoint(records=records, past_drift=past_drift, programs=found)


def reported_in(status: NodeCaptureStatus, boot_id: str) -> Checkpoint:
    """Read from a status what an earlier agent knew; of sandboxes only in the same boot.

    After a boot, a pod's new sandbox is likely to have the inode number of the one before.
    """
    records = tuple(map(record_of, status.pods))
    if status.agent.boot_id != boot_id:
        records = tuple(record.without_sandbox() for record in records)
    return Checkpoint(records=records, past_drift=status.past_drift)


def later(kept: Checkpoint, reported: Checkpoint) -> Checkpoint:
    """Choose between what was kept on the node and what was reported.

    Counts of drift never fall, so the one that counted less is the older one. It is one or the
    other, whole: the drift of a pod that is gone is in `past_drift`, and must not count twice.

    What was kept can still lack the last second, or be lost: of pods in which it knows of no
    capture, and that no drift was counted for, the report says more.
    """
    if _detected(reported) > _detected(kept):
        return reported
    records = {record.pod.uid: record for record in kept.records}
    for record in reported.records:
        known = records.get(record.pod.uid)
        if record.held_by and not record.detected and (known is None or not known.held_by):
            records[record.pod.uid] = record
    return replace(kept, records=tuple(records.values()))


def _detected(checkpoint: Checkpoint) -> int:
    counts = chain(
        (record.detected for record in checkpoint.records),
        (past.detected for past in checkpoint.past_drift),
    )
    return sum(counts)
