"""Rules that an init container wrote before us: the same ones are taken over, others left alone."""

from typing import Any

from cluster.kube import SYSTEM, Kube, eventually
from cluster.manifests import capture, pod
from cluster.test_capture import condition, is_ready, ours, status
from reference_rules import REFERENCE_RULES

RESTORE = "iptables-restore --noflush <<'RULES'\n*nat\n{rules}COMMIT\nRULES\n"


def pod_with_rules(kube: Kube, rules: str) -> None:
    """Run a pod whose init container writes these rules, as istio-init does, and note them."""
    template = kube.get("daemonset", "-n", SYSTEM)["items"][0]["spec"]["template"]
    [agent] = template["spec"]["containers"]
    init: dict[str, Any] = {
        "name": "init",
        "image": agent["image"],
        "imagePullPolicy": agent["imagePullPolicy"],
        "command": ["sh", "-c", RESTORE.format(rules=rules)],
        "securityContext": {
            "runAsUser": 0,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]},
        },
    }
    kube.apply(pod("web", {"app": "web"}, initContainers=[init]))
    kube.run("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
    assert ours(kube.nat("web", "-S")) == rules


def ruleset(kube: Kube) -> str:
    """List the pod's rules with their handles: a rule that is written anew gets another one."""
    return kube.in_netns("web", "nft", "-a", "list", "table", "ip", "nat")


def agent_log(kube: Kube) -> str:
    """Return what the agent of the pod's node has said."""
    node = kube.get("pod/web")["spec"]["nodeName"]
    return kube.run("logs", "-n", SYSTEM, kube.agent(node), "--tail=-1")


def test_the_same_rules_are_adopted(kube: Kube) -> None:
    """Not one is written, the agent says so, and from then on they are guarded as ours."""
    pod_with_rules(kube, REFERENCE_RULES)
    before = ruleset(kube)
    kube.apply(capture("web", ipFamilies=["IPv4"]))
    eventually(lambda: status(kube), lambda seen: seen.get("pods", {}).get("programmed") == 1)
    assert ruleset(kube) == before
    uid = kube.get("pod/web")["metadata"]["uid"]
    said = [line for line in agent_log(kube).splitlines() if uid in line]
    assert any("now ours: ISTIO_INBOUND" in line for line in said), said

    kube.nat("web", "-F", "ISTIO_OUTPUT")
    eventually(lambda: status(kube), lambda seen: seen["drift"]["repaired"] == 1)
    assert ours(kube.nat("web", "-S")) == REFERENCE_RULES
    kube.run("delete", "tcap", "web", "--timeout=60s")
    assert ours(kube.nat("web", "-S")) == ""


def test_different_rules_are_a_conflict_until_they_are_gone(kube: Kube) -> None:
    """Nothing is written beside them; the status names the chain; once removed, ours come in."""
    others = REFERENCE_RULES.replace("--to-ports 15001", "--to-ports 15099")
    pod_with_rules(kube, others)
    before = ruleset(kube)
    kube.apply(capture("web", ipFamilies=["IPv4"]))
    seen = eventually(lambda: status(kube), lambda seen: condition(seen, "ChainConflict"))
    assert not is_ready(seen)
    assert "ISTIO_" in condition(seen, "ChainConflict")["message"]
    [attention] = seen["attention"]
    assert (attention["pod"], attention["reason"]) == ("web", "ChainConflict")
    assert ruleset(kube) == before

    kube.nat("web", "-F")
    kube.nat("web", "-X")
    eventually(lambda: status(kube), lambda seen: seen["pods"]["programmed"] == 1)
    assert ours(kube.nat("web", "-S")) == REFERENCE_RULES
    assert not condition(status(kube), "ChainConflict")
