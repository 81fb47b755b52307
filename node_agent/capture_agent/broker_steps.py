"""The steps the broker takes inside a pod's network namespace, each in the namespace it is in.

Sockets live no longer than their step: an open one would keep a dead pod's namespace alive.
"""

import os
from collections.abc import Iterable, Iterator

from capture_agent.broker_netlink import nf_tables
from capture_agent.broker_programs import execute
from capture_agent.broker_protocol import (
    DumpNfTables,
    Execute,
    LegacyTables,
    ListLegacyTables,
    NfTables,
    Step,
    StepResult,
)
from capture_agent.legacy_lists import opened_lists
from capture_agent.legacy_tables import listed_tables
from capture_nat.families import Family


def take_all(steps: Iterable[Step], user_namespace: int | None) -> Iterator[StepResult]:
    """Take steps in the network namespace that this thread is in, which `user_namespace` owns.

    Raises:
        OSError: a step could not be taken.
        subprocess.SubprocessError: a program took longer than its step allows.
    """
    for step in steps:
        if isinstance(step, Execute):
            executed = execute(step, user_namespace)
            yield executed
            if step.must_succeed and executed.returncode != 0:
                return
        else:
            yield _take(step, user_namespace)


def _take(step: DumpNfTables | ListLegacyTables, user_namespace: int | None) -> StepResult:
    match step:
        case DumpNfTables():
            return NfTables(nf_tables())
        case ListLegacyTables(family):
            return LegacyTables(_legacy_tables(family, user_namespace))


def _legacy_tables(family: Family, user_namespace: int | None) -> tuple[str, ...]:
    descriptor = opened_lists([family], user_namespace).get(family)
    if descriptor is None:
        return ()
    try:
        return tuple(listed_tables(descriptor))
    finally:
        os.close(descriptor)
