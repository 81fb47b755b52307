"""Bytes that iptables-nft 1.8.9 sent, captured by `tests/kernel/capture_nft/capturing.py`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from capture_nat.families import Family

FILE = Path(__file__).with_name("iptables_1_8_9.json")

OURS = (
    "-A X -p tcp -j OTHER",
    "-A X ! -d {address} -o lo -j OTHER",
    "-A X -d {address} -j RETURN",
    "-A X -s {octets} -p tcp -m tcp --dport 80 -j RETURN",
    "-A X -d {bits} -p tcp -m tcp --dport 8000:8100 -j RETURN",
    "-A X -i eth0 -p tcp -m tcp --dport 22 -j OTHER",
    "-A X -m owner --uid-owner 1337 -j RETURN",
    "-A X -m owner --gid-owner 4294967294 -j RETURN",
    "-A X ! -d {address} -o lo -m owner --uid-owner 0 -j OTHER",
    "-A X -p udp -m udp --dport 53 -j REDIRECT --to-ports 15053",
    "-A X -p tcp -j REDIRECT --to-ports 15001",
)
OTHERS = (
    "-A X",
    "-A X ! -s {bits} ! -d {octets} ! -i eth+ ! -o lo ! -p tcp -j ACCEPT",
    "-A X -p tcp -m tcp ! --sport 1:100 ! --dport 80 -g OTHER",
    "-A X -p tcp -j REDIRECT --to-ports 1000-2000 --random",
    "-A X -p tcp -j REDIRECT",
    "-A X -m owner --uid-owner 1337 --gid-owner 5-9 -j RETURN",
    "-A X -m owner ! --uid-owner 0-1337 -m owner ! --gid-owner 5 -j RETURN",
    "-A X -m mark --mark 0x1/0xff -j RETURN",
    "-A X -m mark ! --mark 0x10 -j RETURN",
    "-A X -p tcp -m multiport --dports 80,443:445 -j RETURN",
    "-A X -p tcp -m multiport ! --sports 80 -j RETURN",
    "-A X -p udp -m multiport --ports 80,81 -j RETURN",
    '-A X -m comment --comment "a b\\"c" -j RETURN',
    "-A X -m comment --comment plain -j RETURN",
    "-A X -m addrtype --dst-type LOCAL -j RETURN",
    "-A X -m addrtype ! --src-type LOCAL ! --dst-type UNICAST,MULTICAST -j RETURN",
    "-A X -m conntrack --ctstate NEW,ESTABLISHED -j RETURN",
    "-A X -m conntrack ! --ctstate INVALID,RELATED,UNTRACKED,SNAT,DNAT -j RETURN",
    "-A X -m state --state NEW -j RETURN",
    "-A X -p tcp -j DNAT --to-destination {destination}:80",
    "-A X -j DNAT --to-destination {plain}",
    "-A X -j DNAT --to-destination {plain} --random --persistent",
    "-A X -p tcp -j DNAT --to-destination {destination}:80-90/85",
    "-A X -p tcp -j DNAT --to-destination {ranged}:80-90",
    "-A POSTROUTING -p udp -j SNAT --to-source :53",
    "-A POSTROUTING -j SNAT --to-source {plain} --random-fully",
    "-A POSTROUTING -j MASQUERADE",
    "-A POSTROUTING -p tcp -j MASQUERADE --to-ports 10-20 --random-fully",
    "-A X -p gre -j RETURN",
    "-A X -p tcp -m tcp --dport 80 -m comment --comment hi -m owner --uid-owner 3 -j RETURN",
)
_ADDRESSES = {
    4: {
        "address": "127.0.0.1/32",
        "octets": "10.1.0.0/16",
        "bits": "10.1.0.0/17",
        "plain": "10.0.0.1",
        "destination": "10.0.0.1",
        "ranged": "10.0.0.1-10.0.0.9",
    },
    6: {
        "address": "::1/128",
        "octets": "fd00:1::/32",
        "bits": "fd00:1::/33",
        "plain": "fd00::1",
        "destination": "[fd00::1]",
        "ranged": "[fd00::1-fd00::9]",
    },
}


@dataclass(frozen=True, slots=True)
class Golden:
    """A rule of one IP version as printed, and the values of the two attributes sent for it."""

    version: int
    text: str
    expressions: bytes
    compat: bytes

    @property
    def family(self) -> Family:
        """The family whose nat table the rule was for."""
        return Family(self.version)

    def stored(self) -> list[object]:
        """As it is in the file."""
        return [self.version, self.text, self.expressions.hex(), self.compat.hex()]


def rules_to_capture() -> Iterator[tuple[int, str]]:
    """IP version and text of every rule, ours first."""
    for version, addresses in _ADDRESSES.items():
        for template in OURS + OTHERS:
            yield version, template.format(**addresses)


def ours() -> Iterator[Golden]:
    """Those in the grammar that we write."""
    texts = {t.format(**addresses) for addresses in _ADDRESSES.values() for t in OURS}
    return (each for each in captured() if each.text in texts)


def captured() -> Iterator[Golden]:
    """Everything that is in the file."""
    for version, text, expressions, compat in json.loads(FILE.read_text()):
        yield Golden(version, text, bytes.fromhex(expressions), bytes.fromhex(compat))
