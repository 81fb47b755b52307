"""An API server in memory: versions, generations, finalizers, and what it refuses."""

import copy
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from capture_operator.api import ApiError, ConflictError, NotFoundError
from capture_operator.resources import ObjectKey, Resource
from unit.capture_operator.objects import key_of

Watcher = Callable[[str, Resource, dict[str, Any]], None]


class FakeApiServer:
    """Implements `capture_operator.api.Api`, and what users and agents do besides.

    Attributes:
        writes: every accepted write of the operator, as (resource, key, what was written).
        watchers: called with the type of each event, unless the watches are down.
        refusals: errors that the next requests of the operator get.
    """

    def __init__(self) -> None:
        self.writes: list[tuple[Resource, ObjectKey, tuple[str, ...]]] = []
        self.watchers: list[Watcher] = []
        self.refusals: list[ApiError] = []
        self._objects: dict[tuple[Resource, ObjectKey], dict[str, Any]] = {}
        self._version = 100

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        """Read an object, as a user does."""
        return self._objects[resource, ObjectKey(namespace, name)]

    def all(self, resource: Resource) -> list[dict[str, Any]]:
        """Read every object of a kind."""
        return [raw for (kind, _), raw in self._objects.items() if kind is resource]

    def exists(self, resource: Resource, namespace: str, name: str) -> bool:
        """Whether an object is there."""
        return (resource, ObjectKey(namespace, name)) in self._objects

    def apply(self, resource: Resource, raw: dict[str, Any]) -> None:
        """Create or replace an object, as a user does."""
        before = self._objects.get((resource, key_of(raw)))
        self._store(resource, copy.deepcopy(raw), "MODIFIED" if before else "ADDED")

    def change(self, resource: Resource, namespace: str, name: str, **fields: object) -> None:
        """Replace whole fields of an object, as a user, a kubelet or an agent does."""
        raw = copy.deepcopy(self.get(resource, namespace, name))
        if "spec" in fields:
            raw["metadata"]["generation"] += 1
        self._store(resource, {**raw, **fields}, "MODIFIED")

    def delete(self, resource: Resource, namespace: str, name: str, *, now: str = "now") -> None:
        """Delete an object, or mark it while it has finalizers."""
        raw = copy.deepcopy(self.get(resource, namespace, name))
        if raw["metadata"].get("finalizers"):
            raw["metadata"]["deletionTimestamp"] = now
            self._store(resource, raw, "MODIFIED")
        else:
            self._remove(resource, raw)

    async def list_objects(self, resource: Resource) -> AsyncIterator[dict[str, Any]]:
        """See `Api.list_objects`."""
        self._refuse()
        for raw in self.all(resource):
            yield copy.deepcopy(raw)

    async def create(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
        """See `Api.create`."""
        self._refuse()
        raw = copy.deepcopy(body)
        if (resource, key_of(raw)) in self._objects:
            raise ConflictError("exists")
        raw["metadata"] |= {"uid": f"uid-{self._version}", "generation": 1}
        self.writes.append((resource, key_of(raw), ("/",)))
        return self._store(resource, raw, "ADDED")

    async def replace_fields(
        self,
        resource: Resource,
        key: ObjectKey,
        resource_version: str,
        fields: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> dict[str, Any]:
        """See `Api.replace_fields`."""
        self._refuse()
        if (resource, key) not in self._objects:
            raise NotFoundError("gone")
        raw = copy.deepcopy(self._objects[resource, key])
        if resource_version not in {"", raw["metadata"]["resourceVersion"]}:
            raise ConflictError("changed")
        for pointer, value in fields.items():
            assert ("/status" in pointer) == (subresource == "status")
            _replace(raw, pointer, copy.deepcopy(value))
        if "/spec" in fields:
            raw["metadata"]["generation"] += 1
        self.writes.append((resource, key, tuple(fields)))
        if raw["metadata"].get("deletionTimestamp") and not raw["metadata"].get("finalizers"):
            return self._remove(resource, raw)
        return self._store(resource, raw, "MODIFIED")

    def _refuse(self) -> None:
        if self.refusals:
            raise self.refusals.pop(0)

    def _store(self, resource: Resource, raw: dict[str, Any], event: str) -> dict[str, Any]:
        self._stamp(raw)
        self._objects[resource, key_of(raw)] = raw
        self._tell(event, resource, raw)
        return copy.deepcopy(raw)

    def _remove(self, resource: Resource, raw: dict[str, Any]) -> dict[str, Any]:
        self._stamp(raw)
        del self._objects[resource, key_of(raw)]
        self._tell("DELETED", resource, raw)
        return copy.deepcopy(raw)

    def _stamp(self, raw: dict[str, Any]) -> None:
        self._version += 1
        raw["metadata"]["resourceVersion"] = str(self._version)

    def _tell(self, event: str, resource: Resource, raw: dict[str, Any]) -> None:
        for watcher in self.watchers:
            watcher(event, resource, copy.deepcopy(raw))


def _replace(raw: dict[str, Any], pointer: str, value: object) -> None:
    *path, last = pointer.strip("/").split("/")
    for part in path:
        raw = raw[part]
    raw[last] = value
