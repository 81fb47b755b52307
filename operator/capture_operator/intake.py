"""The one way in: an object from a watch, a listing or an answer, into the store and the queues."""

import logging
from collections.abc import Callable
from typing import Any

from capture_api.wire import MalformedObjectError
from capture_operator.reports import NodeReport
from capture_operator.resources import NODE_REPORTS, ObjectKey, Resource
from capture_operator.store import Store
from capture_operator.tables import Change
from capture_operator.work import Item, consequences

_log = logging.getLogger(__name__)


class Intake:
    """Takes objects in; `enqueue` gets the work that they make necessary."""

    def __init__(self, store: Store, enqueue: Callable[[Item], None]) -> None:
        self._store = store
        self._enqueue = enqueue
        self._complaints: dict[str, str] = {}

    def put(self, resource: Resource, raw: dict[str, Any]) -> None:
        """Take an object in. One that can't be read is reported once, and left out."""
        try:
            change = self._store.put(resource, raw)
        except (MalformedObjectError, KeyError, TypeError, ValueError, AttributeError) as error:
            self._complain(f"{resource.kind} {_name(raw)}", f"left out: {error!r}")
            return
        self._follow(resource, change)
        if change is not None and isinstance(change.after, NodeReport):
            self._complain_of_parts(change.after)

    def remove(self, resource: Resource, raw: dict[str, Any]) -> None:
        """Take note that an object was deleted."""
        self._follow(resource, self._store.remove(resource, raw))

    def drop(self, resource: Resource, key: ObjectKey) -> None:
        """Take note that an object is gone, as a listing showed."""
        _log.info("%s %s is gone; its deletion was missed", resource.kind, key)
        self._follow(resource, self._store.drop(resource, key))

    def _follow(self, resource: Resource, change: Change[Any] | None) -> None:
        if change is not None:
            for item in consequences(self._store, resource, change):
                self._enqueue(item)

    def _complain_of_parts(self, report: NodeReport) -> None:
        subject = f"{NODE_REPORTS.kind} {report.metadata.name}"
        if report.problems:
            self._complain(subject, f"ignored in part: {'; '.join(report.problems[:3])}")
        else:
            self._complaints.pop(subject, None)

    def _complain(self, subject: str, problem: str) -> None:
        if self._complaints.get(subject) != problem:
            self._complaints[subject] = problem
            _log.warning("%s %s", subject, problem)


def _name(raw: dict[str, Any]) -> str:
    metadata = raw.get("metadata")
    if not isinstance(metadata, dict):
        return "without metadata"
    return str(ObjectKey(metadata.get("namespace", ""), metadata.get("name", "?")))
