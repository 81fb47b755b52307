"""What iptables can't list, or lists as something else, is not decoded."""

import pytest

from capture_nat.families import Family
from capture_nft.attributes import be32, nested, string
from capture_nft.decoding import decode_expressions
from capture_nft.errors import UnknownExpressionError, UnknownExtensionError
from capture_nft.expressions import (
    META_L4PROTO,
    META_OIFNAME,
    NETWORK_HEADER,
    RETURN,
    TRANSPORT_HEADER,
    Bitwise,
    Cmp,
    Counter,
    Expression,
    Immediate,
    Meta,
    Payload,
    Range,
    XtMatch,
    XtTarget,
)
from capture_nft.headers import TCP
from capture_nft.listing import text_of
from capture_nft.packing import pack
from capture_nft.reading import rule_of
from capture_nft.rules import Rule

_TCP = (Meta(META_L4PROTO), Cmp(bytes([TCP])))
_DESTINATION = Payload(NETWORK_HEADER, 16, 4)


def _decode(*expressions: Expression, comment: str | None = None) -> Rule:
    return decode_expressions(b"".join(map(pack, expressions)), Family.IPV4, comment)


@pytest.mark.parametrize(
    "expressions",
    [
        (Meta(META_OIFNAME), Cmp(b"lo -j RETURN\0")),
        (Meta(META_OIFNAME), Cmp(b"eth+\0")),
        (Meta(META_OIFNAME), Cmp(b"e\0h0\0")),
        (Meta(META_OIFNAME), Cmp(b"\xff\0")),
        (Immediate(-3, "REDIRECT --to-ports 15001"),),
        (Immediate(-3, "RETURN"),),
        (Immediate(-3, "REDIRECT"),),
        (Immediate(-4, "ACCEPT"),),
    ],
    ids=str,
)
def test_a_name_that_feigns_another_rule_is_unknown(expressions: tuple[Expression, ...]) -> None:
    """Iptables would print it, and its text would be that of a rule that does something else."""
    with pytest.raises(UnknownExpressionError):
        _decode(*expressions)


@pytest.mark.parametrize(
    "expressions",
    [
        (*_TCP, *_TCP),
        (_DESTINATION, Cmp(bytes(4)), _DESTINATION, Cmp(bytes(4))),
        (_DESTINATION, Bitwise(b"\xff\0\xff\0"), Cmp(bytes(4))),
        (_DESTINATION, Bitwise(b"\xff\0\0\0"), Cmp(b"\n\1\0\0")),
        (_DESTINATION, Cmp(b"\n")),
        (_DESTINATION,),
        (Payload(NETWORK_HEADER, 8, 1), Cmp(b"\x40")),
        (Payload(TRANSPORT_HEADER, 2, 2), Cmp(b"\0\x50")),
        (*_TCP, Payload(TRANSPORT_HEADER, 2, 2), Range(b"\0\0", b"\xff\xff")),
        (*_TCP, Payload(TRANSPORT_HEADER, 0, 4), Cmp(bytes(4))),
        (Meta(META_L4PROTO), Cmp(b"\0")),
        (Meta(4), Cmp(bytes(4))),
        (Cmp(b"\0"),),
        (Immediate(RETURN), Counter()),
        (Immediate(-1),),
        (XtMatch("owner", 1, bytes(24)),),
        (XtMatch("owner", 1, bytes(8)),),
        (XtMatch("owner", 0, bytes(24)),),
        (XtMatch("recent", 1, bytes(24)),),
        (XtTarget("REDIRECT", 0, bytes(24)),),
        (XtTarget("REDIRECT", 1, bytes(24)),),
        (XtTarget("LOG", 0, bytes(40)),),
    ],
    ids=str,
)
def test_what_iptables_does_not_write_is_unknown(expressions: tuple[Expression, ...]) -> None:
    """Asked twice, half, or by an extension that is not known here."""
    with pytest.raises(UnknownExpressionError):
        _decode(*expressions)


@pytest.mark.parametrize("name", ["redir", "ct", "fib", "lookup", "nat", "masq"])
def test_a_native_expression_is_unknown(name: str) -> None:
    """Iptables calls the table incompatible, or leaves the expression out."""
    element = nested(1, string(1, name), nested(2, be32(1, 1)))
    with pytest.raises(UnknownExpressionError, match=name):
        decode_expressions(element, Family.IPV4)


@pytest.mark.parametrize(
    "expressions",
    [
        (XtMatch("recent", 1, bytes(24)), Immediate(RETURN)),
        (XtTarget("LOG", 0, bytes(40)),),
        (*_TCP, Payload(TRANSPORT_HEADER, 13, 1), Bitwise(b"\x02"), Cmp(b"\x02")),
        (Meta(4), Cmp(bytes(4)), *_TCP, Immediate(RETURN)),
    ],
    ids=str,
)
def test_what_only_narrows_a_rule_leaves_the_rest_readable(
    expressions: tuple[Expression, ...],
) -> None:
    """The tools print such a rule as what it is."""
    with pytest.raises(UnknownExtensionError):
        _decode(*expressions)


@pytest.mark.parametrize(
    "expressions",
    [
        (XtMatch("recent", 1, bytes(24)), *_TCP, *_TCP),
        (XtTarget("LOG", 0, bytes(40)), Immediate(RETURN)),
        (XtMatch("recent", 1, bytes(24)), Immediate(-3, "RETURN")),
        (Meta(4), Immediate(RETURN)),
        (Meta(META_L4PROTO), Range(b"\1", b"\x11"), Immediate(RETURN)),
        (Payload(NETWORK_HEADER, 8, 1), Cmp(b"\x40")),
    ],
    ids=str,
)
def test_what_may_print_as_something_else_is_told_apart(
    expressions: tuple[Expression, ...],
) -> None:
    """Though an extension is not known either."""
    with pytest.raises(UnknownExpressionError) as raised:
        _decode(*expressions)
    assert not isinstance(raised.value, UnknownExtensionError)


def test_a_protocol_is_understood_as_later_versions_write_it() -> None:
    """1.8.11 loads it from the IPv4 header, behind the addresses."""
    rule = _decode(
        _DESTINATION,
        Cmp(b"\x7f\0\0\1"),
        Payload(NETWORK_HEADER, 9, 1),
        Cmp(bytes([TCP])),
        Payload(TRANSPORT_HEADER, 2, 2),
        Cmp(b"\0\x50"),
        Counter(),
        Immediate(RETURN),
    )
    assert rule == rule_of("-A X -d 127.0.0.1/32 -p tcp -m tcp --dport 80 -j RETURN")


def test_a_name_padded_as_nft_does_is_the_name() -> None:
    """Nft compares all sixteen bytes of an interface's name."""
    rule = _decode(Meta(META_OIFNAME), Cmp(b"lo".ljust(16, b"\0")), Immediate(RETURN))
    assert rule == rule_of("-A X -o lo -j RETURN")


def test_a_comment_of_user_data_is_the_last_match() -> None:
    """Iptables prints it there."""
    rule = _decode(*_TCP, Immediate(RETURN), comment='a "b"')
    assert text_of(rule, "X") == r'-A X -p tcp -m comment --comment "a \"b\"" -j RETURN'


def test_a_comment_that_is_no_text_is_still_a_comment() -> None:
    """Bytes that are no UTF-8 say nothing about packets."""
    rule = _decode(XtMatch("comment", 0, b"\xff".ljust(256, b"\0")), Immediate(RETURN))
    assert text_of(rule, "X") == r'-A X -m comment --comment "\\xff" -j RETURN'


def test_an_ipv6_protocol_in_an_ipv4_place_is_unknown() -> None:
    """The byte at offset 9 is the protocol of IPv4 alone."""
    expressions: tuple[Expression, ...] = (Payload(NETWORK_HEADER, 9, 1), Cmp(bytes([TCP])))
    with pytest.raises(UnknownExpressionError):
        decode_expressions(b"".join(map(pack, expressions)), Family.IPV6)
