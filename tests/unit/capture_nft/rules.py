"""Any rule that can be written, for property tests."""

from ipaddress import IPv4Network, IPv6Network

from hypothesis import strategies as st

from capture_nat.families import Family
from capture_nft.headers import TCP, UDP, Addresses, Interface, Protocol
from capture_nft.matches import Mark, Ports, Transport
from capture_nft.rules import Match, Rule, Target
from capture_nft.verdicts import Goto, Jump, Verdict
from capture_nft.xt_addrtype import AddressType, AddressTypes
from capture_nft.xt_comment import Comment
from capture_nft.xt_conntrack import ConntrackState
from capture_nft.xt_multiport import Multiport
from capture_nft.xt_nat import Nat
from capture_nft.xt_owner import Ids, Owner

_inverted = st.booleans()
_ports = st.integers(0, 0xFFFF)
_ids = st.integers(0, 0xFFFFFFFF)
_chains = st.sampled_from(("OTHER", "X_REDIRECT", "a-b.c"))
_port_pairs = st.tuples(_ports, _ports).map(sorted).map(tuple)
_port_ranges = st.builds(
    lambda ends, inverted: Ports(ends[0], ends[1], inverted),
    _port_pairs.filter(lambda ends: ends != (0, 0xFFFF)),
    _inverted,
)
_id_ranges = st.builds(Ids, _ids, _ids, _inverted)
_types = st.builds(AddressTypes, st.sampled_from((("LOCAL",), ("UNICAST", "MULTICAST"))), _inverted)
_given = {"min_size": 1, "max_size": 5}


def _interfaces() -> st.SearchStrategy[Interface]:
    return st.builds(Interface, st.sampled_from(("lo", "eth0", "eth+", "a.b-c@d")), _inverted)


def _addresses(family: Family) -> st.SearchStrategy[Addresses]:
    network, bits = (IPv4Network, 32) if family is Family.IPV4 else (IPv6Network, 128)

    def build(value: int, prefix: int, inverted: bool) -> Addresses:  # noqa: FBT001
        mask = ((1 << prefix) - 1) << (bits - prefix)
        return Addresses(network((value & mask, prefix)), inverted)

    return st.builds(build, st.integers(0, (1 << bits) - 1), st.integers(1, bits), _inverted)


def _matches() -> st.SearchStrategy[Match]:
    owners = st.builds(Owner, st.none() | _id_ranges, st.none() | _id_ranges)
    address_types = st.builds(AddressType, st.none() | _types, st.none() | _types)
    return st.one_of(
        owners.filter(lambda owner: bool(owner.uid or owner.gid)),
        address_types.filter(lambda match: bool(match.source or match.destination)),
        st.builds(Mark, _ids, _ids, _inverted),
        st.builds(
            Multiport,
            st.sampled_from(("--sports", "--dports", "--ports")),
            st.lists(_port_pairs, min_size=1, max_size=7).map(tuple),
            _inverted,
        ),
        st.builds(
            Comment, st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=99)
        ),
        st.builds(
            ConntrackState,
            st.sampled_from((("NEW",), ("INVALID", "NEW", "ESTABLISHED", "UNTRACKED"))),
            _inverted,
            st.booleans(),
        ),
    )


_targets: st.SearchStrategy[Target] = st.one_of(
    st.sampled_from(Verdict),
    st.builds(Jump, _chains),
    st.builds(Goto, _chains),
    _port_pairs.map(lambda ends: Nat.redirect(*ends)),
)


@st.composite
def rules(draw: st.DrawFn, family: Family) -> Rule:
    """Any rule of a family."""
    protocol = draw(
        st.none() | st.builds(Protocol, st.sampled_from((TCP, UDP, 47, 200)), _inverted)
    )
    matches = draw(st.lists(_matches(), max_size=3))
    if protocol in {Protocol(TCP), Protocol(UDP)} and draw(st.booleans()):
        source, destination = draw(_port_ranges), draw(st.none() | _port_ranges)
        matches.append(
            Transport("tcp" if protocol == Protocol(TCP) else "udp", source, destination)
        )
    return Rule(
        draw(st.none() | _addresses(family)),
        draw(st.none() | _addresses(family)),
        draw(st.none() | _interfaces()),
        draw(st.none() | _interfaces()),
        protocol,
        tuple(matches),
        draw(st.none() | _targets),
    )
