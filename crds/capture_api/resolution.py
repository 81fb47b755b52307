"""From the spec a user wrote to the program that agents enforce."""

import re
from math import prod
from typing import Any

from msgspec.structs import astuple

from capture_api.captures import TrafficCaptureSpec
from capture_api.programs import (
    Dns,
    Inbound,
    InboundTerm,
    Loopback,
    Outbound,
    OutboundTerm,
    Program,
)
from capture_api.wire import MalformedObjectError, decode

MAX_RULES_PER_DIRECTION = 512
"""Bound on `include` and `exclude` of one direction together, expanded (see `rules_of`)."""

Term = InboundTerm | OutboundTerm

_WHAT_AND_WHERE = re.compile(r"(?P<what>.*) - at (?:`key` in )?`\$(?P<path>.*)`", re.DOTALL)
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
        raise InvalidSpecError(_field_first(str(error))) from error


def _field_first(message: str) -> str:
    """Write msgspec's "what - at `$.path`" as "spec.path: what", as the API server does."""
    match = _WHAT_AND_WHERE.fullmatch(message)
    return f"spec{match['path']}: {match['what']}" if match else f"spec: {message}"


def resolve(spec: TrafficCaptureSpec) -> Program:
    """Turn a spec into its program, with everything checked that could make it unenforceable.

    Raises:
        InvalidSpecError: the spec can't be enforced as it is.
    """
    check_chain_prefix(spec.chain_prefix)
    _check_directions(spec)
    if not spec.proxy.uids and not spec.proxy.gids:
        raise InvalidSpecError(
            "spec.proxy.uids: give at least one uid or gid that only the proxy runs with: without "
            "one, its own connections are redirected back to it"
        )
    return Program(
        chain_prefix=spec.chain_prefix,
        proxy=spec.proxy,
        ip_families=tuple(sorted(set(spec.ip_families))),
        inbound=spec.inbound,
        outbound=spec.outbound,
        dns=spec.dns,
    )


def check_chain_prefix(prefix: str) -> None:
    """Check the closed grammar of chain prefixes.

    Raises:
        InvalidSpecError: chains with this prefix could not be named, or could be mistaken.
    """
    if not _CHAIN_PREFIX.fullmatch(prefix):
        raise InvalidSpecError(
            f"spec.chainPrefix: {prefix!r} must be 1-13 characters A-Z, 0-9 and _, "
            "begin with a letter and not end with _"
        )
    if prefix.endswith("_IN"):
        raise InvalidSpecError(
            f"spec.chainPrefix: {prefix!r} must not end in _IN: <P>_REDIRECT would be another "
            "prefix's _IN_REDIRECT"
        )


def rules_of(term: Term) -> int:
    """How many rules a term expands to: one for each combination of what its fields list."""
    return prod(max(1, len(values)) for values in astuple(term))


def _check_directions(spec: TrafficCaptureSpec) -> None:
    if spec.inbound is None and spec.outbound is None and spec.dns is None:
        raise InvalidSpecError("spec: inbound, outbound or dns is required")
    if spec.outbound and spec.outbound.loopback is Loopback.INBOUND and spec.inbound is None:
        raise InvalidSpecError(
            "spec.outbound.loopback: Inbound needs spec.inbound, whose redirectPort it sends to"
        )
    if spec.inbound:
        _check_direction("spec.inbound", spec.inbound)
    if spec.outbound:
        _check_direction("spec.outbound", spec.outbound)
    if spec.outbound and spec.dns:
        _check_size_with_dns(spec.outbound, spec.dns)


def _check_direction(path: str, direction: Inbound | Outbound) -> None:
    include: tuple[Term, ...] = direction.include
    exclude: tuple[Term, ...] = direction.exclude
    _check_each_says_something(f"{path}.include", include)
    _check_each_says_something(f"{path}.exclude", exclude)
    _check_size(f"{path}.include", (*include, *exclude))
    _check_proxy_port_is_left_out(f"{path}.include", include, direction.redirect_port)
    _check_not_repeated(f"{path}.exclude", exclude, included=include)


def _check_each_says_something(path: str, terms: tuple[Term, ...]) -> None:
    for index, term in enumerate(terms):
        if not any(astuple(term)):
            raise InvalidSpecError(
                f"{path}[{index}]: gives no field and would match every packet; give one, or leave "
                "the list out"
            )


def _check_size(path: str, terms: tuple[Term, ...]) -> None:
    rules = sum(map(rules_of, terms))
    if rules > MAX_RULES_PER_DIRECTION:
        raise InvalidSpecError(
            f"{path}: include and exclude expand to {rules} rules (what each term lists, "
            f"multiplied, summed over terms); at most {MAX_RULES_PER_DIRECTION} are allowed: use "
            "ranges and shorter prefixes"
        )


def _check_size_with_dns(outbound: Outbound, dns: Dns) -> None:
    terms = sum(map(rules_of, outbound.include)) + sum(map(_rules_with_dns, outbound.exclude))
    rules = terms + 2 * max(1, len(dns.servers))
    if rules > MAX_RULES_PER_DIRECTION:
        raise InvalidSpecError(
            f"spec.dns: with outbound it expands to {rules} rules (two a server, and one port more "
            f"for each excluded term with ports); at most {MAX_RULES_PER_DIRECTION} are allowed: "
            "use ranges and shorter prefixes"
        )


def _rules_with_dns(excluded: OutboundTerm) -> int:
    """How many rules an excluded term expands to where UDP is looked at too: port 53 may be two."""
    ports = len(excluded.ports)
    return rules_of(excluded) * (ports + 1) // ports if ports else rules_of(excluded)


def _check_proxy_port_is_left_out(path: str, terms: tuple[Term, ...], port: int) -> None:
    if any(port in ports for term in terms for ports in term.ports):
        raise InvalidSpecError(
            f"{path}: a port or range contains redirectPort {port}, the proxy's own port: leave it "
            "out"
        )


def _check_not_repeated(path: str, terms: tuple[Term, ...], *, included: tuple[Term, ...]) -> None:
    meanings = set(map(_meaning, included))
    if any(_meaning(term) in meanings for term in terms):
        raise InvalidSpecError(
            f"{path}: repeats a term of include, which would capture nothing for it; remove one of "
            "the two"
        )


def _meaning(term: Term) -> tuple[frozenset[object], ...]:
    return tuple(map(frozenset, astuple(term)))
