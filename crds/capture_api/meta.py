"""The part of `metav1.ObjectMeta` that we read."""

from capture_api.wire import WireStruct


class ObjectMeta(WireStruct, frozen=True):
    """Who an object is; times are RFC 3339 strings as the API server writes them."""

    name: str
    uid: str
    namespace: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    finalizers: tuple[str, ...] = ()
