"""The API server through the official client's asyncio half.

Only its transport, authentication and token renewal are used: objects stay decoded JSON, which
`capture_api` turns into its own types.
"""

import json
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import quote

import aiohttp
from kubernetes.aio.client import ApiClient, ApiException

from capture_operator.api import ApiError, ConflictError, NotFoundError
from capture_operator.resources import ObjectKey, Resource

_PAGE: Final = 500
_TIMEOUT: Final = 30.0
_ERRORS: Final[dict[int, type[ApiError]]] = {
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.NOT_FOUND: NotFoundError,
}


class KubernetesApi:
    """Implements `api.Api` over one client."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def list_objects(self, resource: Resource) -> AsyncIterator[dict[str, Any]]:
        """See `Api.list_objects`; pages of 500 of one snapshot."""
        token: str | None = ""
        while token is not None:
            query = [("limit", str(_PAGE)), *([("continue", token)] if token else [])]
            page = await self._request("GET", _path(resource, ""), query=query)
            for item in page["items"]:
                yield item
            token = page["metadata"].get("continue") or None

    async def create(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
        """See `Api.create`."""
        return await self._request(
            "POST", _path(resource, body["metadata"].get("namespace", "")), body=body
        )

    async def replace_fields(
        self,
        resource: Resource,
        key: ObjectKey,
        resource_version: str,
        fields: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> dict[str, Any]:
        """See `Api.replace_fields`; a JSON patch that names the resourceVersion."""
        path = f"{_path(resource, key.namespace)}/{quote(key.name, safe='')}"
        version = {"/metadata/resourceVersion": resource_version} if resource_version else {}
        patch = [
            {"op": "add", "path": pointer, "value": value}
            for pointer, value in {**version, **fields}.items()
        ]
        return await self._request(
            "PATCH",
            f"{path}/{subresource}" if subresource else path,
            body=patch,
            content_type="application/json-patch+json",
        )

    async def delete(self, resource: Resource, key: ObjectKey) -> None:
        """Ask for an object's deletion; the operator itself never does, nor may it.

        Raises:
            NotFoundError: it is gone.
            ApiError: nothing was asked.
        """
        await self._request(
            "DELETE", f"{_path(resource, key.namespace)}/{quote(key.name, safe='')}"
        )

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        try:
            method, url, headers, body, _ = await self._client.param_serialize(
                method,
                path,
                query_params=query,
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._client.call_api(
                method, url, header_params=headers, body=body, _request_timeout=_TIMEOUT
            )
            data: bytes = await response.read()  # type: ignore[no-untyped-call]
        except (ApiException, aiohttp.ClientError, TimeoutError) as error:
            raise ApiError(f"{method} {path}: {error!r}") from error
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise _error(response.status, f"{method} {path}", data)
        return cast("dict[str, Any]", json.loads(data))


def _path(resource: Resource, namespace: str) -> str:
    root = f"/apis/{resource.group}" if resource.group else "/api"
    scope = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{root}/{resource.version}{scope}/{resource.plural}"


def _error(status: int, request: str, data: bytes) -> ApiError:
    try:
        message = json.loads(data)["message"]
    except (ValueError, KeyError, TypeError):
        message = data[:200].decode(errors="replace")
    kind = _ERRORS.get(status, ApiError)
    return kind(f"{request}: {status} {message}")
