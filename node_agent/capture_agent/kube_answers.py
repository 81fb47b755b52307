"""What the API server answers: pages of lists, watch events, and failures (`metav1.Status`)."""

from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec

from capture_agent.kube_errors import ApiError
from capture_api.wire import MalformedObjectError, WireStruct, decode

R = TypeVar("R")

_QUOTED: Final = 256
"""Characters that we quote of an answer which isn't a `metav1.Status`."""


class PageMeta(WireStruct, frozen=True):
    """`metav1.ListMeta`; `next_page` is the token that asks for the next page, or empty."""

    resource_version: str = ""
    next_page: str = msgspec.field(default="", name="continue")


class Page(WireStruct, frozen=True):
    """One page of a list."""

    metadata: PageMeta
    items: tuple[dict[str, Any], ...]


class WatchEvent(WireStruct, frozen=True):
    """One line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK, or ERROR with a Status in it."""

    type: str
    object: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listing(Generic[R]):
    """All pages of a list, and the version to watch from."""

    items: tuple[R, ...]
    resource_version: str


class _StatusDetails(WireStruct, frozen=True):
    retry_after_seconds: float | None = None


class _Status(WireStruct, frozen=True):
    code: int = 0
    reason: str = ""
    message: str = ""
    details: _StatusDetails = _StatusDetails()


def failure_in(event: WatchEvent) -> ApiError:
    """The failure that an ERROR event carries."""
    try:
        return _failure(decode(event.object, _Status), 0, None)
    except MalformedObjectError as error:
        return ApiError(0, "MalformedStatus", f"in an ERROR event: {error}")


def failure_from(status: int, body: bytes, retry_after: str | None) -> ApiError:
    """The failure that an HTTP answer of this status is, whoever on the way wrote its body."""
    asked = float(retry_after) if retry_after and retry_after.isdecimal() else None
    try:
        return _failure(msgspec.json.decode(body, type=_Status), status, asked)
    except msgspec.DecodeError:
        quoted = body[:_QUOTED].decode(errors="replace")
        return ApiError(status, "NotKubernetes", repr(quoted), asked)


def _failure(status: _Status, http_status: int, asked: float | None) -> ApiError:
    return ApiError(
        http_status or status.code,
        status.reason or "Unknown",
        status.message,
        asked if asked is not None else status.details.retry_after_seconds,
    )
