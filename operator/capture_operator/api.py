"""What the operator asks of the API server; `kubernetes_api` is the real one."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from capture_operator.resources import ObjectKey, Resource


class ApiError(Exception):
    """The API server did not do what was asked; the message has its reason."""


class ConflictError(ApiError):
    """The object has changed since it was read, or exists already: look again, then decide."""


class NotFoundError(ApiError):
    """The object, or its kind, is not there."""


class Api(Protocol):
    """Listing and writing objects, as decoded JSON."""

    def list_objects(self, resource: Resource) -> AsyncIterator[dict[str, Any]]:
        """List every object of a kind, read page by page.

        Raises:
            ApiError: the listing is not complete.
        """

    async def create(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object; returns it as it was stored.

        Raises:
            ConflictError: there is one of that name.
            ApiError: it was not created.
        """

    async def replace_fields(
        self,
        resource: Resource,
        key: ObjectKey,
        resource_version: str,
        fields: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> dict[str, Any]:
        """Replace whole fields, by JSON pointer, of exactly this version of an object.

        What is not named stays as it is. An empty `resource_version` means any version.

        Raises:
            ConflictError: the object is not of this version any more; nothing was written.
            NotFoundError: the object is gone.
            ApiError: it was not written.
        """
