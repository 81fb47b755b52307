"""The objects of one kind, in the newest version that was seen of each.

Events, listings and answers to our own writes arrive in any order: kopf hands us the events of
different UIDs concurrently, even of two objects that had the same name one after the other. So an
older version never replaces a newer one, and a removed object stays removed. Versions of one
resource are comparable as integers
(https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from capture_operator.resources import ObjectKey

T = TypeVar("T")

_GRAVES = 4096


@dataclass(frozen=True, slots=True)
class Identity:
    """Which object, and which version of it."""

    key: ObjectKey
    uid: str
    version: int


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """An object as it was and as it is; None for one that is not there."""

    key: ObjectKey
    before: T | None
    after: T | None


def identify(raw: dict[str, Any]) -> Identity:
    """Read who an object from the API server is."""
    metadata = raw["metadata"]
    key = ObjectKey(metadata.get("namespace", ""), metadata["name"])
    return Identity(key, metadata["uid"], int(metadata["resourceVersion"]))


class Table(Generic[T]):
    """Objects of one kind by key; iterating gives the keys."""

    def __init__(self) -> None:
        self._held: dict[ObjectKey, tuple[Identity, T]] = {}
        self._graves: dict[ObjectKey, int] = {}
        self._seen: set[ObjectKey] | None = None

    def get(self, key: ObjectKey) -> T | None:
        """Look an object up."""
        held = self._held.get(key)
        return None if held is None else held[1]

    def __iter__(self) -> Iterator[ObjectKey]:
        return iter(self._held)

    def values(self) -> Iterator[T]:
        """Every object that is held."""
        return (value for _, value in self._held.values())

    def put(self, identity: Identity, value: T) -> Change[T] | None:
        """Hold this version, unless a newer one was seen; None if nothing changed by it."""
        self._note(identity.key)
        held = self._held.get(identity.key)
        newest = held[0].version if held else self._graves.get(identity.key, -1)
        if identity.version <= newest:
            return None
        self._held[identity.key] = (identity, value)
        self._graves.pop(identity.key, None)
        before = held[1] if held else None
        return None if before == value else Change(identity.key, before, value)

    def remove(self, identity: Identity) -> Change[T] | None:
        """Forget the object with this UID; another one under its name stays."""
        self._note(identity.key)
        held = self._held.get(identity.key)
        if held is not None and held[0].uid != identity.uid:
            return None
        self._bury(identity)
        if held is None:
            return None
        del self._held[identity.key]
        return Change(identity.key, held[1], None)

    def drop(self, key: ObjectKey) -> Change[T] | None:
        """Forget whatever is held under a key that a complete listing did not have."""
        held = self._held.get(key)
        return None if held is None else self.remove(held[0])

    @contextmanager
    def noting_keys(self) -> Iterator[set[ObjectKey]]:
        """Collect the keys that are put or removed meanwhile."""
        self._seen = set()
        try:
            yield self._seen
        finally:
            self._seen = None

    def _note(self, key: ObjectKey) -> None:
        if self._seen is not None:
            self._seen.add(key)

    def _bury(self, identity: Identity) -> None:
        self._graves[identity.key] = max(identity.version, self._graves.get(identity.key, -1))
        if len(self._graves) > _GRAVES:
            del self._graves[next(iter(self._graves))]
