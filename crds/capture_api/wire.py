"""Decoding and encoding of API objects: JSON names, our value types, errors with a path."""

from typing import Any, TypeVar, cast

import msgspec

from capture_api.cidrs import Cidr
from capture_api.interfaces import InterfaceName
from capture_api.owners import IdRange
from capture_api.ports import PortRange

T = TypeVar("T")

_VALUE_TYPES: dict[type, Any] = {
    value_type: value_type.parse for value_type in (PortRange, Cidr, IdRange, InterfaceName)
}


_INITIALISMS = {"id": "ID", "uid": "UID", "ips": "IPs"}


def wire_name(field: str) -> str:
    """`capture_uid` -> `captureUID`: camelCase with initialisms as Kubernetes writes them."""
    first, *rest = field.split("_")
    return first + "".join(_INITIALISMS.get(word, word.capitalize()) for word in rest)


class WireStruct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename=wire_name):
    """A part of an API object: camelCase on the wire, unknown fields ignored, immutable."""


class MalformedObjectError(Exception):
    """An API object that does not have the form of its kind; the message names the field."""


def decode(raw: object, kind: type[T]) -> T:
    """Turn decoded JSON (dicts, lists, scalars) into a value of `kind`.

    Raises:
        MalformedObjectError: a field is missing or of the wrong form; the message ends with the
            path of the field, e.g. ``- at `$.spec.inbound.redirectPort```.
    """
    try:
        return msgspec.convert(raw, kind, dec_hook=_decode_value)
    except msgspec.ValidationError as error:
        raise MalformedObjectError(str(error)) from error


def encode(value: object) -> Any:  # noqa: ANN401 - decoded JSON has no narrower type
    """Turn a value into what JSON can carry; a kind decides if defaults are left out."""
    return msgspec.to_builtins(value, enc_hook=str)


def _decode_value(kind: type, raw: object) -> object:
    if not isinstance(raw, str):
        raise ValueError(f"expected a string, got {type(raw).__name__}")  # noqa: TRY004 - msgspec turns ValueError into a path
    return cast("object", _VALUE_TYPES[kind](raw))
