"""Specs of TrafficCaptures that the API takes, and ones that it refuses, each with its field.

One table for two judges: the Python types (`tests/unit/capture_api`) and the schema in a real API
server (`tests/cluster`). Both must agree on every row.
"""

from dataclasses import dataclass
from typing import Any, Final

Spec = dict[str, Any]

WEB: Final[Spec] = {"matchLabels": {"app": "web"}}


@dataclass(frozen=True, slots=True)
class Taken:
    """A spec that is valid."""

    name: str
    spec: Spec


@dataclass(frozen=True, slots=True)
class Refused:
    """A spec that is not valid because of `field`, a path as the API server writes it."""

    name: str
    field: str
    spec: Spec

    @property
    def leaf(self) -> str:
        """The last name in the path, without an index."""
        return self.field.rpartition(".")[2].partition("[")[0]


def capture(**fields: object) -> Spec:
    """Build the smallest spec with these fields over it."""
    return {"podSelector": WEB, "inbound": {"redirectPort": 15001}, **fields}


def inbound(**fields: object) -> Spec:
    """Build a spec whose `inbound` has these fields."""
    return capture(inbound={"redirectPort": 15001, **fields})


def outbound(**fields: object) -> Spec:
    """Build a spec that captures outbound only, with these fields."""
    return {"podSelector": WEB, "outbound": {"redirectPort": 15001, **fields}}


def ports(count: int, first: int = 20000) -> list[str]:
    """Name `count` different ports."""
    return [str(first + number) for number in range(count)]


def product(port_count: int, network_count: int) -> Spec:
    """Build an outbound term of ports times networks."""
    networks = [f"10.{number}.0.0/16" for number in range(network_count)]
    return {"ports": ports(port_count), "destinations": networks}


def interfaces(count: int) -> Spec:
    """Build a part of an inbound term: `count` interfaces."""
    return {"interfaces": [f"eth{number}" for number in range(count)]}


def senders(count: int) -> Spec:
    """Build a part of an outbound term: `count` users and as many groups."""
    ids = [str(number) for number in range(count)]
    return {"uids": ids, "gids": ids}


def outbound_and_dns(servers: list[str] | None = None, **fields: object) -> Spec:
    """Build a spec that captures queries, and outbound with these fields."""
    dns = {"redirectPort": 15053, **({"servers": servers} if servers else {})}
    return {**outbound(**fields), "dns": dns}


def selector(**requirement: object) -> Spec:
    """Build a spec with one row of `matchExpressions`."""
    return capture(podSelector={"matchExpressions": [requirement]})


REFERENCE: Final[Spec] = {
    "podSelector": WEB,
    "chainPrefix": "ISTIO",
    "proxy": {"uids": [1337], "gids": [1337]},
    "inbound": {"redirectPort": 15001, "include": [{"ports": ["80"]}]},
    "outbound": {"redirectPort": 15001, "loopback": "Redirect"},
}
"""What istio-init wrote."""

TAKEN: Final = (
    Taken("the reference", REFERENCE),
    Taken("inbound only", capture()),
    Taken("outbound only", outbound()),
    Taken("every pod of the namespace", capture(podSelector={})),
    Taken(
        "every operator",
        capture(
            podSelector={
                "matchExpressions": [
                    {"key": "app", "operator": "In", "values": ["web", "api"]},
                    {"key": "example.com/tier", "operator": "NotIn", "values": ["batch"]},
                    {"key": "version", "operator": "Exists"},
                    {"key": "legacy", "operator": "DoesNotExist"},
                ]
            }
        ),
    ),
    Taken("a key with a prefix", capture(podSelector={"matchLabels": {"a.b-c/D_e.f": "g"}})),
    Taken("a key as long as can be", capture(podSelector={"matchLabels": {"k" * 63: "g"}})),
    Taken("an empty label value", capture(podSelector={"matchLabels": {"app": ""}})),
    Taken("IPv4 only", capture(ipFamilies=["IPv4"])),
    Taken("both families, in any order", capture(ipFamilies=["IPv6", "IPv4"])),
    Taken("the lowest priority", capture(priority=-(2**31))),
    Taken("the highest priority", capture(priority=2**31 - 1)),
    Taken("observing, suspended", capture(mode="Observe", suspend=True, driftPolicy="Report")),
    Taken("pods start anyhow", capture(failurePolicy="Ignore")),
    Taken("pods wait for their rules", capture(failurePolicy="Fail")),
    Taken("connections kept", capture(establishedConnections="Keep")),
    Taken("connections ended", capture(establishedConnections="Reset")),
    Taken("the longest prefix", capture(chainPrefix="ABCDEFGHIJ_12")),
    Taken("the shortest prefix", capture(chainPrefix="A")),
    Taken("IN within a prefix", capture(chainPrefix="IN_IN1")),
    Taken("uids only", capture(proxy={"uids": [0, 2**32 - 2], "gids": []})),
    Taken("gids only", capture(proxy={"uids": [], "gids": [101]})),
    Taken("uids given, gids by default", capture(proxy={"uids": [101]})),
    Taken("the proxy by default", capture(proxy={})),
    Taken("the first and the last port", inbound(include=[{"ports": ["1", "65535"]}])),
    Taken("a range of one port", inbound(include=[{"ports": ["80-80"]}])),
    Taken("a range with more digits at its end", inbound(include=[{"ports": ["9000-10000"]}])),
    Taken("both families", inbound(exclude=[{"sources": ["10.0.0.0/8", "fd00::/8"]}])),
    Taken("everywhere, as a CIDR", outbound(include=[{"destinations": ["0.0.0.0/0", "::/0"]}])),
    Taken("interfaces", inbound(include=[{"interfaces": ["eth0", "net1.100", "a_b-c.d"]}])),
    Taken("the longest name", inbound(exclude=[{"ports": ["80"], "interfaces": ["x" * 15]}])),
    Taken("root's packets", outbound(exclude=[{"uids": ["0"]}])),
    Taken(
        "senders by user and group",
        outbound(include=[{"uids": ["1000-2000", "4294967294"], "gids": ["0-0"]}]),
    ),
    Taken(
        "exclude of other senders than include",
        outbound(include=[{"uids": ["1"]}], exclude=[{"uids": ["1"], "gids": ["1"]}]),
    ),
    Taken(
        "exactly 512 rules by interfaces", inbound(include=[{**interfaces(16), "ports": ports(32)}])
    ),
    Taken("exactly 512 rules by senders", outbound(include=[{**senders(16), "ports": ports(2)}])),
    Taken("queries", capture(dns={"redirectPort": 15053})),
    Taken("queries alone", {"podSelector": WEB, "dns": {"redirectPort": 65535}}),
    Taken(
        "queries to some servers",
        outbound_and_dns(servers=["10.96.0.10/32", "fd00::/8"], exclude=[{"ports": ["53"]}]),
    ),
    Taken("exactly 512 rules with queries", outbound_and_dns(include=[product(30, 17)])),
    Taken(
        "exactly 512 rules with excluded ports and queries",
        outbound_and_dns(
            include=[{"ports": ports(64)}],
            exclude=[product(63, 5)],
            servers=[f"10.{number}.0.0/16" for number in range(64)],
        ),
    ),
    Taken("one address", outbound(exclude=[{"destinations": ["169.254.169.254/32"]}])),
    Taken(
        "ports and addresses",
        outbound(
            include=[
                {"ports": ["443"], "destinations": ["10.0.0.0/8"]},
                {"ports": ["80", "8000-8100"]},
            ]
        ),
    ),
    Taken("exactly 512 rules", inbound(include=[{"ports": ports(64)}] * 8)),
    Taken("exactly 512 rules in one term", outbound(include=[product(64, 8)])),
    Taken(
        "exactly 512 rules, most of them excluded",
        outbound(include=[{"ports": ["1"]}], exclude=[product(63, 8), {"ports": ports(7)}]),
    ),
    Taken(
        "exactly 512 rules each way",
        {
            **inbound(include=[{"ports": ports(64)}] * 8),
            "outbound": {"redirectPort": 15001, "include": [product(64, 8)]},
        },
    ),
    Taken("the redirect port excluded", inbound(exclude=[{"ports": ["15001"]}])),
    Taken("loopback to inbound", capture(outbound={"redirectPort": 15001, "loopback": "Inbound"})),
    Taken(
        "another port each way",
        {
            "podSelector": WEB,
            "inbound": {"redirectPort": 15006},
            "outbound": {"redirectPort": 1},
        },
    ),
    Taken(
        "exclude narrower than include",
        inbound(
            include=[{"ports": ["80"]}],
            exclude=[{"ports": ["80"], "sources": ["10.0.0.0/8"]}],
        ),
    ),
)

EXCLUDED_513: Final = [*[{"ports": ports(64)}] * 8, {"ports": ["1"]}]
"""One rule more than a direction may have."""

_IN = "spec.inbound.include"
_OUT = "spec.outbound.include"
_EXPRESSION = "spec.podSelector.matchExpressions[0]"

REFUSED: Final = (
    Refused("no selector", "spec.podSelector", {"inbound": {"redirectPort": 15001}}),
    Refused("a selector of text", "spec.podSelector", capture(podSelector="app=web")),
    Refused(
        "a label that is a number",
        "spec.podSelector.matchLabels",
        capture(podSelector={"matchLabels": {"app": 1}}),
    ),
    Refused(
        "a label value with a space",
        "spec.podSelector.matchLabels",
        capture(podSelector={"matchLabels": {"app": "a b"}}),
    ),
    Refused(
        "a label value that is too long",
        "spec.podSelector.matchLabels",
        capture(podSelector={"matchLabels": {"app": "a" * 64}}),
    ),
    Refused(
        "a label key with a space",
        "spec.podSelector.matchLabels",
        capture(podSelector={"matchLabels": {"my app": "web"}}),
    ),
    Refused(
        "a label key with two slashes",
        "spec.podSelector.matchLabels",
        capture(podSelector={"matchLabels": {"example.com/a/b": "web"}}),
    ),
    Refused(
        "an expression with a key of no label",
        f"{_EXPRESSION}.key",
        selector(key="Example.com/app", operator="Exists"),
    ),
    Refused(
        "too many labels",
        "spec.podSelector.matchLabels",
        capture(podSelector={"matchLabels": {f"l{n}": "" for n in range(17)}}),
    ),
    Refused(
        "an unknown operator",
        f"{_EXPRESSION}.operator",
        selector(key="app", operator="Equals", values=["web"]),
    ),
    Refused("In without values", f"{_EXPRESSION}.values", selector(key="app", operator="In")),
    Refused(
        "NotIn with no value",
        f"{_EXPRESSION}.values",
        selector(key="app", operator="NotIn", values=[]),
    ),
    Refused(
        "Exists with values",
        f"{_EXPRESSION}.values",
        selector(key="app", operator="Exists", values=["web"]),
    ),
    Refused("an expression without a key", f"{_EXPRESSION}.key", selector(operator="Exists")),
    Refused(
        "an expression with an empty key", f"{_EXPRESSION}.key", selector(key="", operator="Exists")
    ),
    Refused("a priority that is too high", "spec.priority", capture(priority=2**31)),
    Refused("a priority that is too low", "spec.priority", capture(priority=-(2**31) - 1)),
    Refused("a priority of text", "spec.priority", capture(priority="high")),
    Refused("an unknown mode", "spec.mode", capture(mode="enforce")),
    Refused("suspend as text", "spec.suspend", capture(suspend="yes")),
    Refused("an unknown drift policy", "spec.driftPolicy", capture(driftPolicy="Ignore")),
    Refused("an unknown failure policy", "spec.failurePolicy", capture(failurePolicy="ignore")),
    Refused("no failure policy", "spec.failurePolicy", capture(failurePolicy="")),
    Refused(
        "connections in an unknown way",
        "spec.establishedConnections",
        capture(establishedConnections="reset"),
    ),
    Refused("an unknown family", "spec.ipFamilies[0]", capture(ipFamilies=["ipv4"])),
    Refused("a family that is no list", "spec.ipFamilies", capture(ipFamilies="IPv4")),
    Refused("an empty prefix", "spec.chainPrefix", capture(chainPrefix="")),
    Refused("a prefix that is too long", "spec.chainPrefix", capture(chainPrefix="A" * 14)),
    Refused("a prefix in lower case", "spec.chainPrefix", capture(chainPrefix="istio")),
    Refused("a prefix that begins with a digit", "spec.chainPrefix", capture(chainPrefix="1A")),
    Refused("a prefix that ends with _", "spec.chainPrefix", capture(chainPrefix="A_")),
    Refused("a prefix that ends with _IN", "spec.chainPrefix", capture(chainPrefix="ISTIO_IN")),
    Refused("a prefix with a space", "spec.chainPrefix", capture(chainPrefix="A -j DROP")),
    Refused("a prefix with a newline", "spec.chainPrefix", capture(chainPrefix="A\n")),
    Refused("a negative uid", "spec.proxy.uids[0]", capture(proxy={"uids": [-1]})),
    Refused("the uid that means none", "spec.proxy.uids[0]", capture(proxy={"uids": [2**32 - 1]})),
    Refused("a user's name", "spec.proxy.uids[0]", capture(proxy={"uids": ["envoy"]})),
    Refused("too many gids", "spec.proxy.gids", capture(proxy={"gids": list(range(17))})),
    Refused("nobody is the proxy", "spec.proxy.uids", capture(proxy={"uids": [], "gids": []})),
    Refused("neither direction", "spec", {"podSelector": WEB}),
    Refused("queries without a port", "spec.dns.redirectPort", capture(dns={})),
    Refused("queries to port 0", "spec.dns.redirectPort", capture(dns={"redirectPort": 0})),
    Refused("queries to port 65536", "spec.dns.redirectPort", capture(dns={"redirectPort": 65536})),
    Refused(
        "a server without a length",
        "spec.dns.servers[0]",
        outbound_and_dns(servers=["10.96.0.10"]),
    ),
    Refused(
        "a server by name", "spec.dns.servers[1]", outbound_and_dns(servers=["::/0", "dns.google"])
    ),
    Refused(
        "a server with bits set", "spec.dns.servers[0]", outbound_and_dns(servers=["10.96.0.10/12"])
    ),
    Refused(
        "too many servers",
        "spec.dns.servers",
        outbound_and_dns(servers=[f"10.{number}.0.0/16" for number in range(65)]),
    ),
    Refused(
        "513 rules with queries",
        "spec.dns",
        outbound_and_dns(include=[{"ports": ports(63)}, *[{"ports": ports(64)}] * 7]),
    ),
    Refused(
        "512 rules and more by excluded ports and queries",
        "spec.dns",
        outbound_and_dns(
            exclude=[{"ports": ports(64)}] * 7,
            servers=[f"10.{number}.0.0/16" for number in range(29)],
        ),
    ),
    Refused("inbound without a port", "spec.inbound.redirectPort", capture(inbound={})),
    Refused("port 0", "spec.inbound.redirectPort", capture(inbound={"redirectPort": 0})),
    Refused("port 65536", "spec.outbound.redirectPort", capture(outbound={"redirectPort": 65536})),
    Refused(
        "a port of text", "spec.inbound.redirectPort", capture(inbound={"redirectPort": "15001"})
    ),
    Refused("a term that says nothing", f"{_IN}[0]", inbound(include=[{}])),
    Refused("an exclude that says nothing", "spec.outbound.exclude[0]", outbound(exclude=[{}])),
    Refused("too many terms", _IN, inbound(include=[{"ports": [str(n)]} for n in range(1, 34)])),
    Refused("too many ports in a term", f"{_IN}[0].ports", inbound(include=[{"ports": ports(65)}])),
    Refused(
        "513 rules", _IN, inbound(include=[{"ports": ports(64)}] * 8, exclude=[{"ports": ["1"]}])
    ),
    Refused(
        "512 rules and more by addresses",
        _OUT,
        outbound(
            include=[
                {"ports": ports(64), "destinations": [f"10.{n}.0.0/16" for n in range(9)]},
            ]
        ),
    ),
    Refused(
        "513 rules outbound",
        _OUT,
        outbound(include=[product(64, 8)], exclude=[{"destinations": ["::/0"]}]),
    ),
    Refused("too many interfaces", f"{_IN}[0].interfaces", inbound(include=[interfaces(17)])),
    Refused("too many users", f"{_OUT}[0].uids", outbound(include=[senders(17)])),
    Refused(
        "544 rules by interfaces",
        _IN,
        inbound(include=[{**interfaces(16), "ports": ports(34)}]),
    ),
    Refused("768 rules by senders", _OUT, outbound(include=[{**senders(16), "ports": ports(3)}])),
    *(
        Refused(
            f"an interface {name!r}",
            f"{_IN}[0].interfaces[0]",
            inbound(include=[{"interfaces": [name]}]),
        )
        for name in ("", "eth+", "!", "-o", "a/b", "a b", "eth0\n", "x" * 16, 7)
    ),
    *(
        Refused(
            f"a sender {sender!r}",
            f"{_OUT}[0].uids[1]",
            outbound(include=[{"uids": ["0", sender]}]),
        )
        for sender in ("root", "", "-1", "00", "2-1", "4294967295", "1-2-3", "1000\n", "1:2", 1000)
    ),
    Refused(
        "a group by name",
        "spec.outbound.exclude[0].gids[0]",
        outbound(exclude=[{"gids": ["wheel"]}]),
    ),
    Refused(
        "include and exclude of the same senders",
        "spec.outbound.exclude",
        outbound(include=[{"uids": ["1", "2"]}], exclude=[{"uids": ["2", "1"]}]),
    ),
    Refused(
        "include and exclude of the same interfaces",
        "spec.inbound.exclude",
        inbound(include=[interfaces(2)], exclude=[interfaces(2)]),
    ),
    Refused("513 rules by excluding", _IN, inbound(exclude=EXCLUDED_513)),
    Refused("a port that is a number", f"{_IN}[0].ports[0]", inbound(include=[{"ports": [80]}])),
    Refused("a port by name", f"{_IN}[0].ports[0]", inbound(include=[{"ports": ["http"]}])),
    Refused("an empty port", f"{_IN}[0].ports[0]", inbound(include=[{"ports": [""]}])),
    Refused("port 0 in a term", f"{_IN}[0].ports[0]", inbound(include=[{"ports": ["0"]}])),
    Refused("port 65536 in a term", f"{_IN}[0].ports[0]", inbound(include=[{"ports": ["65536"]}])),
    Refused("a leading zero", f"{_IN}[0].ports[0]", inbound(include=[{"ports": ["080"]}])),
    Refused("a range backwards", f"{_IN}[0].ports[0]", inbound(include=[{"ports": ["90-80"]}])),
    Refused("a range without an end", f"{_IN}[0].ports[0]", inbound(include=[{"ports": ["80-"]}])),
    Refused("a range of three", f"{_IN}[0].ports[0]", inbound(include=[{"ports": ["1-2-3"]}])),
    Refused(
        "a range as iptables writes it",
        f"{_IN}[0].ports[0]",
        inbound(include=[{"ports": ["80:90"]}]),
    ),
    Refused("a negated port", f"{_IN}[0].ports[0]", inbound(include=[{"ports": ["!80"]}])),
    Refused("a port with a newline", f"{_IN}[0].ports[0]", inbound(include=[{"ports": ["80\n"]}])),
    Refused("ports that aren't a list", f"{_IN}[0].ports", inbound(include=[{"ports": "80"}])),
    Refused(
        "the second bad port of two",
        f"{_OUT}[0].ports[1]",
        outbound(include=[{"ports": ["80", "x"]}]),
    ),
    Refused("the redirect port in include", _IN, inbound(include=[{"ports": ["15001"]}])),
    Refused(
        "the redirect port within a range", _OUT, outbound(include=[{"ports": ["15000-15010"]}])
    ),
    Refused(
        "include and exclude alike",
        "spec.inbound.exclude",
        inbound(include=[{"ports": ["80", "81"]}], exclude=[{"ports": ["81", "80"]}]),
    ),
    Refused(
        "an address without a length",
        f"{_IN}[0].sources[0]",
        inbound(include=[{"sources": ["10.0.0.1"]}]),
    ),
    Refused(
        "a CIDR with bits set",
        f"{_IN}[0].sources[0]",
        inbound(include=[{"sources": ["10.0.0.1/8"]}]),
    ),
    Refused(
        "an IPv6 CIDR with bits set",
        f"{_IN}[0].sources[0]",
        inbound(include=[{"sources": ["fd00::1/8"]}]),
    ),
    Refused(
        "a netmask",
        f"{_OUT}[0].destinations[0]",
        outbound(include=[{"destinations": ["10.0.0.0/255.0.0.0"]}]),
    ),
    Refused(
        "a length of 33",
        f"{_OUT}[0].destinations[0]",
        outbound(include=[{"destinations": ["10.0.0.0/33"]}]),
    ),
    Refused(
        "a length with a leading zero",
        f"{_OUT}[0].destinations[0]",
        outbound(include=[{"destinations": ["10.0.0.0/08"]}]),
    ),
    Refused(
        "a CIDR with a zone",
        f"{_OUT}[0].destinations[0]",
        outbound(include=[{"destinations": ["fe80::%eth0/64"]}]),
    ),
    Refused(
        "IPv4 dressed as IPv6",
        f"{_OUT}[0].destinations[0]",
        outbound(include=[{"destinations": ["::ffff:10.0.0.0/104"]}]),
    ),
    Refused(
        "a host name",
        f"{_OUT}[0].destinations[0]",
        outbound(include=[{"destinations": ["example.com"]}]),
    ),
    Refused("an unknown loopback", "spec.outbound.loopback", outbound(loopback="Proxy")),
    Refused(
        "loopback to inbound without inbound",
        "spec.outbound.loopback",
        outbound(loopback="Inbound"),
    ),
)

_TERM = {"ports": ["80"]}

REFUSED_BY_THE_SCHEMA_ALONE: Final = (
    # The types read what they know, so that an old operator can read a newer object.
    Refused("an unknown field", "spec.inboud", capture(inboud={"redirectPort": 1})),
    Refused(
        "a field of the other direction",
        "spec.inbound.include[0].destinations",
        inbound(include=[{**_TERM, "destinations": ["10.0.0.0/8"]}]),
    ),
    Refused(
        "an interface to send by",
        f"{_OUT}[0].interfaces",
        outbound(include=[{**_TERM, "interfaces": ["eth0"]}]),
    ),
    Refused(
        "a sender of what comes in", f"{_IN}[0].uids", inbound(include=[{**_TERM, "uids": ["0"]}])
    ),
    # The types take an empty list for an absent one.
    Refused("an empty include", _IN, inbound(include=[])),
    Refused("an empty exclude", "spec.outbound.exclude", outbound(exclude=[])),
    Refused(
        "empty ports", f"{_IN}[0].ports", inbound(include=[{"ports": [], "sources": ["::/0"]}])
    ),
    Refused("no servers", "spec.dns.servers", capture(dns={"redirectPort": 1, "servers": []})),
    Refused("a server twice", "spec.dns.servers[1]", outbound_and_dns(servers=["::/0", "::/0"])),
    Refused("no family", "spec.ipFamilies", capture(ipFamilies=[])),
    # A duplicate is no danger, only a slip.
    Refused("a port twice", f"{_IN}[0].ports[1]", inbound(include=[{"ports": ["80", "80"]}])),
    Refused("a family twice", "spec.ipFamilies[1]", capture(ipFamilies=["IPv4", "IPv4"])),
    Refused("a uid twice", "spec.proxy.uids[1]", capture(proxy={"uids": [1, 1]})),
)
