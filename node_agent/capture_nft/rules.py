"""A rule of the nat table as a value."""

from dataclasses import dataclass

from capture_nft.headers import Addresses, Interface, Protocol
from capture_nft.matches import Mark, Transport
from capture_nft.verdicts import Goto, Jump, Verdict
from capture_nft.xt_addrtype import AddressType
from capture_nft.xt_comment import Comment
from capture_nft.xt_conntrack import ConntrackState
from capture_nft.xt_multiport import Multiport
from capture_nft.xt_nat import Nat
from capture_nft.xt_owner import Owner

Match = Transport | Mark | Owner | Multiport | Comment | AddressType | ConntrackState
Target = Verdict | Jump | Goto | Nat


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule matches, all of it, and where it sends the packet; None asks for nothing.

    `matches` are in the order in which they were written and are printed.
    """

    source: Addresses | None = None
    destination: Addresses | None = None
    in_interface: Interface | None = None
    out_interface: Interface | None = None
    protocol: Protocol | None = None
    matches: tuple[Match, ...] = ()
    target: Target | None = None
