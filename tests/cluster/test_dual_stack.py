"""Pods with addresses of both families: twins of every rule, and connections of both redirected."""

from cluster.kube import Kube, eventually
from cluster.manifests import capture, pod
from cluster.test_capture import is_ready, ours, status
from reference_rules import REFERENCE_RULES

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 80), timeout=3)"
REFUSED = """\
import socket, sys
try:
    socket.create_connection((sys.argv[1], 80), timeout=3)
except ConnectionRefusedError:
    sys.exit(0)
sys.exit("somebody listens on port 80")
"""


def addresses(kube: Kube, name: str) -> list[str]:
    """Wait for a pod and return its addresses."""
    kube.run("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")
    return [address["ip"] for address in kube.get(f"pod/{name}")["status"]["podIPs"]]


def test_a_dual_stack_pod_is_captured_in_both_families(kube: Kube) -> None:
    """Port 80, on which nobody listens, leads to the proxy, over IPv4 and over IPv6."""
    kube.apply(pod("web", {"app": "web"}))
    kube.apply(pod("client"))
    client, web = addresses(kube, "client"), addresses(kube, "web")
    assert len(web) == len(client) == 2, "the cluster's pods are not dual-stack"
    for address in web:
        kube.run("exec", "client", "--", "python3", "-c", REFUSED, address)
    kube.apply(capture("web"))
    kube.run("wait", "tcap/web", "--for=condition=Ready", "--timeout=60s")
    assert ours(kube.nat("web", "-S")) == REFERENCE_RULES
    twins = ours(kube.in_netns("web", "ip6tables", "-t", "nat", "-S"))
    assert twins == REFERENCE_RULES.replace("127.0.0.1/32", "::1/128")
    for address in web:
        kube.run("exec", "client", "--", "python3", "-c", CONNECT, address)
    kube.run("delete", "tcap", "web", "--timeout=60s")
    assert ours(kube.in_netns("web", "ip6tables", "-t", "nat", "-S")) == ""
    for address in web:
        kube.run("exec", "client", "--", "python3", "-c", REFUSED, address)


def test_a_capture_restricted_to_a_family_leaves_the_other_alone(kube: Kube) -> None:
    """A change of ipFamilies brings a family in, or lets go of it, on the running pod."""
    kube.apply(pod("web", {"app": "web"}))
    addresses(kube, "web")
    kube.apply(capture("web", ipFamilies=["IPv6"]))
    eventually(
        lambda: ours(kube.in_netns("web", "ip6tables", "-t", "nat", "-S")),
        lambda rules: rules == REFERENCE_RULES.replace("127.0.0.1/32", "::1/128"),
    )
    assert ours(kube.nat("web", "-S")) == ""
    kube.patch("tcap/web", {"spec": {"ipFamilies": ["IPv4"]}})
    eventually(lambda: ours(kube.nat("web", "-S")), lambda rules: rules == REFERENCE_RULES)
    eventually(
        lambda: ours(kube.in_netns("web", "ip6tables", "-t", "nat", "-S")),
        lambda rules: rules == "",
    )
    eventually(lambda: status(kube), is_ready)


def test_drift_in_ipv6_is_repaired_and_says_its_family(kube: Kube) -> None:
    """The status names the family."""
    kube.apply(pod("web", {"app": "web"}))
    kube.apply(capture("web"))
    eventually(lambda: status(kube), lambda seen: seen.get("pods", {}).get("programmed") == 1)
    kube.in_netns("web", "ip6tables", "-t", "nat", "-F", "ISTIO_OUTPUT")
    drift = eventually(lambda: status(kube)["drift"], lambda seen: seen["repaired"] == 1)
    assert (drift["last"]["kind"], drift["last"]["ipFamily"]) == ("ChainFlushed", "IPv6")
