"""Rules of python-iptables as `iptables-save` prints them, and back. For its child process alone.

An extension prints its part itself, by the function that `iptables-save` calls for it.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any, Final

import iptc

from capture_nft.headers import INTERFACE_NAME, Addresses, Interface, Protocol
from capture_nft.rules import Rule

_WORD: Final = re.compile(r"[!-~]+")
_INVERTED_IN, _INVERTED_OUT, _INVERTED_SOURCE, _INVERTED_DESTINATION = 0x01, 0x02, 0x08, 0x10
_INVERTED_PROTOCOL: Final = 0x40
_PRINTED: Final = 0x5B
"""The inversions of what is printed here (`IPT_INV_*`, the same numbers in both families)."""
_UNPRINTED_FLAGS: Final = {"4": 0x01, "6": 0x02}
"""IPT_F_FRAG, IP6T_F_TOS."""


class UnprintableError(Exception):
    """A rule that can't be printed exactly as iptables does."""


def printed(rule: Any, version: str) -> str:  # noqa: ANN401 - the library has no types
    """Print a rule without `-A CHAIN`.

    Raises:
        UnprintableError: it can't be printed exactly.
    """
    parts = [*_header(rule.get_ip(), version), *map(_match, rule.matches), *_target(rule.target)]
    return " ".join(parts)


def built(rule: Rule, version: str) -> Any:  # noqa: ANN401 - the library has no types
    """Build a rule of ours."""
    made = iptc.Rule() if version == "4" else iptc.Rule6()
    if rule.source:
        made.src = _negated(rule.source.inverted, str(rule.source.network))
    if rule.destination:
        made.dst = _negated(rule.destination.inverted, str(rule.destination.network))
    _ask_for_interfaces(made.get_ip(), rule)
    if rule.protocol:
        made.protocol = _negated(rule.protocol.inverted, rule.protocol.name)
    for match in rule.matches:
        _, name, *options = match.words().split()
        _set(made.create_match(name), options)
    if rule.target:
        _, name, *options = rule.target.words().split()
        _set(made.create_target(name), options)
    return made


def _ask_for_interfaces(ip: Any, rule: Rule) -> None:  # noqa: ANN401 - the same
    """Not by the library: its IPv6 masks have one bit of each character, so match other names."""
    if rule.in_interface:
        ip.iniface, ip.iniface_mask = _whole(rule.in_interface)
        ip.invflags |= _INVERTED_IN * rule.in_interface.inverted
    if rule.out_interface:
        ip.outiface, ip.outiface_mask = _whole(rule.out_interface)
        ip.invflags |= _INVERTED_OUT * rule.out_interface.inverted


def _whole(interface: Interface) -> tuple[bytes, bytes]:
    name = interface.name.encode()
    return name, b"\xff" * (len(name) + 1)


def check_name(chain: str) -> None:
    """Let only names of chains pass that are one word.

    Raises:
        UnprintableError: it would print as something else.
    """
    if not _WORD.fullmatch(chain):
        raise UnprintableError("a chain whose name is not one word")


def _set(extension: Any, options: list[str]) -> None:  # noqa: ANN401 - the same
    for option, value in zip(options[::2], options[1::2], strict=True):
        extension.set_parameter(option.removeprefix("--"), value)


def _negated(inverted: bool, value: str) -> str:  # noqa: FBT001 - the option's own field
    return f"!{value}" if inverted else value


def _header(ip: Any, version: str) -> Iterator[str]:  # noqa: ANN401 - the same
    if ip.flags & _UNPRINTED_FLAGS[version] or ip.invflags & ~_PRINTED:
        raise UnprintableError("a rule with a flag that is not known here")
    yield from _addresses("-s", ip.src, ip.smsk, ip.invflags & _INVERTED_SOURCE)
    yield from _addresses("-d", ip.dst, ip.dmsk, ip.invflags & _INVERTED_DESTINATION)
    yield from _interface("-i", ip.iniface, ip.iniface_mask, ip.invflags & _INVERTED_IN)
    yield from _interface("-o", ip.outiface, ip.outiface_mask, ip.invflags & _INVERTED_OUT)
    if ip.proto or ip.invflags & _INVERTED_PROTOCOL:
        yield Protocol(ip.proto, bool(ip.invflags & _INVERTED_PROTOCOL)).words()


def _addresses(option: str, address: Any, mask: Any, inverted: int) -> Iterator[str]:  # noqa: ANN401
    prefix = f"{int.from_bytes(bytes(mask), 'big'):0{len(bytes(mask)) * 8}b}".rstrip("0")
    if "0" in prefix:
        raise UnprintableError(f"{option} with a mask that is no prefix")
    if prefix:
        network = ip_network((ip_address(bytes(address)), len(prefix)))
        yield Addresses(network, bool(inverted)).words(option)
    elif inverted:
        raise UnprintableError(f"! {option} of every address")


def _interface(option: str, name: bytes, mask: bytes, inverted: int) -> Iterator[str]:
    if not mask and not inverted:
        return
    # A mask that covers the name's NUL asks for all of it; a shorter one, for how it begins.
    is_wildcard = len(mask) <= len(name)
    text = name[: len(mask)].decode("latin-1") + ("+" if is_wildcard else "")
    if len(mask) > len(name) + 1 or mask.strip(b"\xff") or not INTERFACE_NAME.fullmatch(text):
        raise UnprintableError(f"{option} with an interface that is not plain")
    yield Interface(text, bool(inverted)).words(option)


def _match(match: Any) -> str:  # noqa: ANN401 - the same
    user = match.match.u.user
    _check(match, user.revision, match.match.u.match_size)
    return f"-m {match.name}{_saved(match)}"


def _target(target: Any) -> Iterator[str]:  # noqa: ANN401 - the same
    name = target.standard_target or target.name
    user = target.target.u.user
    if not name:
        return
    _check(target, user.revision, target.target.u.target_size)
    check_name(name)
    yield f"{'-g' if target.goto else '-j'} {name}{_saved(target)}"


def _check(extension: Any, revision: int, size: int) -> None:  # noqa: ANN401 - the same
    """The library would read a structure of another revision as if it were its own."""
    if (revision, size) != (extension._module.revision, extension.size):  # noqa: SLF001
        raise UnprintableError(f"{extension.name} of revision {revision}")


def _saved(extension: Any) -> str:  # noqa: ANN401 - the same
    saved = extension._get_saved_buf(extension.rule.get_ip())  # noqa: SLF001 - the way to it
    # The library ends what was printed with a newline of its own, to have it flushed.
    return saved.decode(errors="backslashreplace").removesuffix("\n") if saved else ""
