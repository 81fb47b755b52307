"""From the spec a user wrote to the program that agents enforce."""

import re
from collections.abc import Sequence
from typing import Any

from capture_api.captures import TrafficCaptureSpec
from capture_api.programs import Inbound, InboundTerm, Loopback, Outbound, OutboundTerm, Program
from capture_api.wire import MalformedObjectError, decode

MAX_RULES_PER_DIRECTION = 512
"""Bound on `include` and `exclude` of one direction together, expanded to ports x addresses."""

_CHAIN_PREFIX = re.compile(r"[A-Z](?:[A-Z0-9_]{0,11}[A-Z0-9])?", re.ASCII)


class InvalidSpecError(Exception):
    """A spec that can't be enforced; the message names the field, the value and the remedy."""


def decode_spec(raw: dict[str, Any]) -> TrafficCaptureSpec:
    """Read a spec from the API server.

    Raises:
        InvalidSpecError: it does not have the form that the schema demands (stored under an older
            schema, or a kind from somewhere else).
    """
    try:
        return decode(raw, TrafficCaptureSpec)
    except MalformedObjectError as error:
        raise InvalidSpecError(str(error).replace("`$", "`spec")) from error


def resolve(spec: TrafficCaptureSpec) -> Program:
    """Turn a spec into its program, with everything checked that the schema checks.

    Raises:
        InvalidSpecError: the spec can't be enforced as it is.
    """
    check_chain_prefix(spec.chain_prefix)
    if spec.inbound is None and spec.outbound is None:
        raise InvalidSpecError("spec: inbound or outbound is required")
    if spec.outbound and spec.outbound.loopback is Loopback.INBOUND and spec.inbound is None:
        raise InvalidSpecError(
            "spec.outbound.loopback: Inbound needs spec.inbound, whose redirectPort it sends to"
        )
    for name, direction in (("inbound", spec.inbound), ("outbound", spec.outbound)):
        if direction is not None:
            _check_direction(f"spec.{name}", direction)
    return Program(
        chain_prefix=spec.chain_prefix,
        proxy=spec.proxy,
        inbound=spec.inbound,
        outbound=spec.outbound,
    )


def check_chain_prefix(prefix: str) -> None:
    """Check the closed grammar of chain prefixes.

    Raises:
        InvalidSpecError: chains with this prefix could not be named, or could be mistaken.
    """
    if not _CHAIN_PREFIX.fullmatch(prefix):
        raise InvalidSpecError(
            f"spec.chainPrefix: '{prefix}' must be 1-13 characters A-Z, 0-9 and _, "
            "begin with a letter and not end with _"
        )
    if prefix.endswith("_IN"):
        raise InvalidSpecError(
            f"spec.chainPrefix: '{prefix}' must not end in _IN: <P>_REDIRECT would be another "
            "prefix's _IN_REDIRECT"
        )


def _check_direction(path: str, direction: Inbound | Outbound) -> None:
    expanded = sum(rules_of(term) for term in (*direction.include, *direction.exclude))
    if expanded > MAX_RULES_PER_DIRECTION:
        raise InvalidSpecError(
            f"{path}: include and exclude expand to {expanded} rules (ports x addresses, summed "
            f"over terms); at most {MAX_RULES_PER_DIRECTION} are allowed: use ranges and shorter "
            "prefixes"
        )
    if any(direction.redirect_port in ports for term in direction.include for ports in term.ports):
        raise InvalidSpecError(
            f"{path}.include: must not contain redirectPort {direction.redirect_port}"
        )


def rules_of(term: InboundTerm | OutboundTerm) -> int:
    """How many rules a term expands to: one for each pair of a port and an address."""
    addresses: Sequence[object] = (
        term.sources if isinstance(term, InboundTerm) else term.destinations
    )
    return max(1, len(term.ports)) * max(1, len(addresses))
