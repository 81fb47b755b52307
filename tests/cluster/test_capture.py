"""A TrafficCapture on a real cluster: rules in a real pod, evidence in the status."""

from typing import Any

from cluster.kube import Kube, eventually
from cluster.manifests import capture, container, pod
from reference_rules import REFERENCE_RULES


def status(kube: Kube, name: str = "web") -> dict[str, Any]:
    """Return a capture's status."""
    found: dict[str, Any] = kube.get(f"tcap/{name}").get("status", {})
    return found


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return a condition of a status; empty if it isn't there."""
    conditions = status.get("conditions", [])
    return next((found for found in conditions if found["type"] == kind), {})


def is_ready(status: dict[str, Any]) -> bool:
    """Tell whether a capture says that it is Ready."""
    return condition(status, "Ready").get("status") == "True"


def ours(listing: str) -> str:
    """Leave the policies of the built-in chains out of an `iptables -S` listing."""
    return "".join(f"{line}\n" for line in listing.splitlines() if not line.startswith("-P"))


def programmed(kube: Kube, **spec: Any) -> str:  # noqa: ANN401
    """Start a pod and capture it; return the rules it has then."""
    kube.apply(pod("web", {"app": "web"}))
    kube.apply(capture("web", **spec))
    eventually(lambda: status(kube), lambda seen: seen.get("pods", {}).get("programmed") == 1)
    return ours(kube.nat("web", "-S"))


def test_the_reference_rules_come_out_byte_for_byte(kube: Kube) -> None:
    """The reference TrafficCapture gives the reference rule set, in a pod that was running."""
    kube.apply(pod("web", {"app": "web"}))
    kube.run("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
    kube.apply(capture("web"))
    kube.run("wait", "tcap/web", "--for=condition=Ready", "--timeout=60s")
    assert ours(kube.nat("web", "-S")) == REFERENCE_RULES


def test_a_pod_that_comes_later_is_captured_and_its_neighbour_is_not(kube: Kube) -> None:
    """A pod that starts later gets its rules; one that isn't selected stays as it is."""
    kube.apply(capture("web"))
    kube.apply(pod("neighbour"))
    assert programmed(kube) == REFERENCE_RULES
    kube.run("wait", "pod/neighbour", "--for=condition=Ready", "--timeout=60s")
    assert ours(kube.nat("neighbour", "-S")) == ""


def test_tampering_is_noticed_named_counted_and_repaired(kube: Kube) -> None:
    """Each kind of tampering is named in the status and undone; foreign rules stay bit for bit."""
    assert programmed(kube) == REFERENCE_RULES
    foreign = "-A OUTPUT -d 192.0.2.1/32 -p udp -j ACCEPT"
    kube.nat("web", *foreign.split())
    expected = ours(kube.nat("web", "-S"))
    attacks = {
        "Flushed": ["-F"],
        "RuleMissing": ["-D", "ISTIO_OUTPUT", "-d", "127.0.0.1/32", "-j", "RETURN"],
        "JumpMissing": ["-D", "OUTPUT", "-p", "tcp", "-j", "ISTIO_OUTPUT"],
        "RuleInserted": ["-I", "ISTIO_INBOUND", "1", "-p", "udp", "-j", "RETURN"],
    }
    for count, (kind, attack) in enumerate(attacks.items(), start=1):
        kube.nat("web", *attack)
        drift = eventually(
            lambda: status(kube)["drift"],
            lambda seen, count=count: seen["repaired"] == count,  # type: ignore[misc]
        )
        assert (drift["detected"], drift["last"]["kind"]) == (count, kind)
        assert drift["last"]["pod"] == "web"
        if kind == "Flushed":  # it took the foreign rule along; whoever wrote it, writes it again
            kube.nat("web", *foreign.split())
        assert ours(kube.nat("web", "-S")) == expected
    reasons = {event["reason"] for event in kube.get("events")["items"]}
    assert {"Drifted", "Repaired"} <= reasons


def test_drift_is_only_reported_where_the_policy_says_so(kube: Kube) -> None:
    """With driftPolicy Report the rules stay as somebody made them, and the status says how."""
    programmed(kube, driftPolicy="Report")
    kube.nat("web", "-D", "OUTPUT", "-p", "tcp", "-j", "ISTIO_OUTPUT")
    seen = eventually(
        lambda: status(kube), lambda seen: condition(seen, "Ready")["reason"] == "Drifted"
    )
    assert seen["pods"]["drifted"] == 1
    assert seen["attention"][0]["reason"] == "JumpMissing"
    assert "-A OUTPUT" not in kube.nat("web", "-S")
    kube.patch("tcap/web", {"spec": {"driftPolicy": "Repair"}})
    eventually(lambda: status(kube), is_ready)
    assert ours(kube.nat("web", "-S")) == REFERENCE_RULES


def test_observe_and_suspend_write_nothing(kube: Kube) -> None:
    """Observe writes nothing; suspended, what is there stays though the spec changes."""
    kube.apply(pod("web", {"app": "web"}))
    kube.apply(capture("web", mode="Observe"))
    seen = eventually(lambda: status(kube), lambda seen: seen.get("pods", {}).get("drifted") == 1)
    assert condition(seen, "Ready")["reason"] == "Observing"
    assert ours(kube.nat("web", "-S")) == ""
    kube.patch("tcap/web", {"spec": {"mode": "Enforce"}})
    # Observing is Ready too: the pod being programmed is what tells that it is over.
    eventually(lambda: status(kube), lambda seen: seen["pods"]["programmed"] == 1)
    kube.patch("tcap/web", {"spec": {"suspend": True, "inbound": {"redirectPort": 15009}}})
    eventually(lambda: status(kube), lambda seen: condition(seen, "Ready")["reason"] == "Suspended")
    assert ours(kube.nat("web", "-S")) == REFERENCE_RULES


def test_of_two_captures_one_wins_and_the_other_says_so(kube: Kube) -> None:
    """The higher priority has the pod; when it goes, the other takes over, and nothing is left."""
    programmed(kube)
    kube.apply(capture("first", chainPrefix="FIRST", priority=10))
    eventually(lambda: status(kube, "first"), is_ready)
    seen = eventually(lambda: status(kube), lambda seen: not is_ready(seen))
    assert condition(seen, "Ready")["reason"] == "Superseded"
    assert condition(seen, "Superseded")["status"] == "True"
    assert ours(kube.nat("web", "-S")) == REFERENCE_RULES.replace("ISTIO", "FIRST")
    kube.run("delete", "tcap", "first", "--timeout=60s")
    eventually(lambda: status(kube), is_ready)
    assert ours(kube.nat("web", "-S")) == REFERENCE_RULES


def test_a_running_pod_moves_into_a_selector_and_out_of_it(kube: Kube) -> None:
    """A change of labels captures a running pod, or lets go of it, rules and all."""
    kube.apply(pod("web", {"app": "other"}))
    kube.apply(capture("web"))
    seen = eventually(lambda: status(kube), is_ready)
    assert condition(seen, "Ready")["reason"] == "NoMatchingPods"
    kube.run("label", "pod", "web", "app=web", "--overwrite")
    eventually(lambda: status(kube), lambda seen: seen["pods"]["programmed"] == 1)
    assert ours(kube.nat("web", "-S")) == REFERENCE_RULES
    kube.run("label", "pod", "web", "app=other", "--overwrite")
    eventually(lambda: ours(kube.nat("web", "-S")), lambda rules: rules == "")
    eventually(lambda: status(kube), lambda seen: seen["pods"]["matched"] == 0)


def test_host_network_and_finished_pods_are_not_applicable(kube: Kube) -> None:
    """A pod on the node's network and a finished pod are told apart, and the node is left alone."""
    kube.apply(pod("host", {"app": "web"}, hostNetwork=True, containers=[container(18080)]))
    finished = {**container(1), "command": ["true"]}
    kube.apply(pod("done", {"app": "web"}, restartPolicy="Never", containers=[finished]))
    kube.run("wait", "pod/host", "--for=condition=Ready", "--timeout=60s")
    before = _without_pod_networks(kube.nat("host", "-S"))
    kube.apply(capture("web"))
    eventually(lambda: kube.get("pod/done")["status"]["phase"], lambda seen: seen == "Succeeded")
    seen = eventually(
        lambda: status(kube), lambda seen: seen.get("pods", {}).get("notApplicable") == 2
    )
    assert is_ready(seen)
    assert _without_pod_networks(kube.nat("host", "-S")) == before


def test_nobody_listening_on_the_redirect_port_is_said(kube: Kube) -> None:
    """Rules that lead nowhere are the first mistake that everybody makes: the status names it."""
    kube.apply(pod("web", {"app": "web"}, containers=[container(8080)]))
    kube.apply(capture("web"))
    seen = eventually(lambda: status(kube), lambda seen: condition(seen, "ProxyNotListening"))
    assert condition(seen, "ProxyNotListening")["status"] == "True"
    assert "15001" in condition(seen, "ProxyNotListening")["message"]
    eventually(
        lambda: {event["reason"] for event in kube.get("events")["items"]},
        lambda reasons: "ProxyNotListening" in reasons,
    )


def test_a_change_of_the_spec_takes_effect_on_the_running_pod(kube: Kube) -> None:
    """New ports are in force without a restart, and only what changed is written."""
    programmed(kube)
    started = kube.get("pod/web")["status"]["containerStatuses"][0]["containerID"]
    kube.patch("tcap/web", {"spec": {"inbound": {"include": [{"ports": ["80", "8000-8100"]}]}}})
    added = "-A ISTIO_INBOUND -p tcp -m tcp --dport 8000:8100 -j ISTIO_IN_REDIRECT"
    eventually(lambda: kube.nat("web", "-S"), lambda rules: added in rules)
    assert kube.get("pod/web")["status"]["containerStatuses"][0]["containerID"] == started


def test_a_deleted_capture_takes_its_chains_along_and_nothing_else(kube: Kube) -> None:
    """Deleting waits until the chains are gone; rules of others stay where they were."""
    programmed(kube)
    kube.nat("web", "-N", "OTHERS")
    kube.nat("web", "-A", "OUTPUT", "-p", "udp", "-j", "OTHERS")
    kube.run("delete", "tcap", "web", "--timeout=60s")
    assert ours(kube.nat("web", "-S")) == "-N OTHERS\n-A OUTPUT -p udp -j OTHERS\n"
    assert kube.get("cprog")["items"] == []


def test_a_restarted_agent_writes_nothing_and_goes_on_counting(kube: Kube) -> None:
    """A new agent finds the rules as they are to be: not one is rewritten, no count is lost."""
    programmed(kube)
    kube.nat("web", "-F", "ISTIO_INBOUND")
    eventually(lambda: status(kube), lambda seen: seen["drift"]["repaired"] == 1)
    before = kube.in_netns("web", "nft", "-a", "list", "ruleset")
    node = kube.get("pod/web")["spec"]["nodeName"]
    agent = kube.agent(node)
    kube.run("delete", "pod", agent, "-n", "traffic-capture-system", "--timeout=60s")
    eventually(lambda: kube.get("pods", "-n", "traffic-capture-system")["items"], _all_ready)
    assert kube.in_netns("web", "nft", "-a", "list", "ruleset") == before
    kube.nat("web", "-F", "ISTIO_INBOUND")
    drift = eventually(lambda: status(kube)["drift"], lambda seen: seen["repaired"] == 2)
    assert drift["detected"] == 2


def _without_pod_networks(listing: str) -> list[str]:
    """Leave out what the CNI plugin writes on the node for each pod that comes and goes."""
    return [line for line in listing.splitlines() if "CNI-" not in line]


def _all_ready(pods: list[dict[str, Any]]) -> bool:
    return len(pods) >= 2 and all(  # the operator and at least one agent
        condition(found["status"], "Ready").get("status") == "True" for found in pods
    )
