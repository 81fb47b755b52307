"""Agent and operator are killed at random instants while pods come, go and change.

`KILL_ROUNDS` says how often (200 takes a quarter of an hour), `KILL_SEED` repeats a run.
"""

import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from cluster import node_side
from cluster.installation import AGENT, OPERATOR, is_ready, pods
from cluster.kube import SYSTEM, Kube, eventually
from cluster.manifests import capture
from cluster.node_side import captured_here, in_netns, nat, only_local, pod_here, uid_of
from cluster.test_capture import ours, status
from local_cluster import access
from local_cluster.access import Cluster
from local_cluster.node import CONTROL_PLANE_NODE, Node
from reference_rules import REFERENCE_RULES

ROUNDS = int(os.environ.get("KILL_ROUNDS", "15"))
SEED = int(os.environ.get("KILL_SEED", str(random.SystemRandom().randrange(10**6))))
PROGRAMS = {AGENT: node_side.AGENT, OPERATOR: node_side.OPERATOR}
LONGEST = 1.0
"""Seconds from a change to the kill, at most: by then all that follows from it is done."""


@dataclass
class Churn:
    """A capture whose pods and ports keep changing; `captured` says which pods it has now."""

    kube: Kube
    random: random.Random
    port: int = 8000
    made: int = 0
    captured: dict[str, bool] = field(default_factory=dict)
    uids: dict[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """Have the capture and two pods."""
        self.kube.apply(self._capture())
        self.add()
        self.add()

    def change(self) -> str:
        """Change something at random, and say what."""
        change = self.random.choice([self.add, self.remove, self.relabel, self.reprogram])
        change()
        return change.__name__

    def add(self) -> None:
        """Start a pod, or with five of them stop one."""
        if len(self.uids) >= 5:
            return self.remove()
        self.made += 1
        name = f"churn-{self.made}"
        self.kube.apply(pod_here(name, {"app": "churn"}))
        self.uids[name], self.captured[name] = uid_of(self.kube, name), True
        return None

    def remove(self) -> None:
        """Stop a pod, or start one if only one is left."""
        if len(self.uids) < 2:
            return self.add()
        name = self.random.choice(list(self.uids))
        self.kube.run("delete", "pod", name, "--wait=false")
        del self.uids[name], self.captured[name]
        return None

    def relabel(self) -> None:
        """Move a pod out of the selector, or into it."""
        name = self.random.choice(list(self.uids))
        self.captured[name] = not self.captured[name]
        app = "churn" if self.captured[name] else "other"
        self.kube.run("label", "pod", name, f"app={app}", "--overwrite")

    def reprogram(self) -> None:
        """Capture another port."""
        self.port += 1
        self.kube.apply(self._capture())

    def expected(self) -> dict[str, str]:
        """Return the rules that each pod is to have."""
        rules = REFERENCE_RULES.replace("ISTIO", "CHURN").replace(
            "--dport 80", f"--dport {self.port}"
        )
        return {name: rules if self.captured[name] else "" for name in self.uids}

    def found(self) -> dict[str, str]:
        """Return the rules that each pod has."""
        return {name: rules(uid) for name, uid in self.uids.items()}

    def _capture(self) -> dict[str, Any]:
        inbound = {"redirectPort": 15001, "include": [{"ports": [str(self.port)]}]}
        return capture("churn", app="churn", chainPrefix="CHURN", inbound=inbound)


def reference(prefix: str) -> str:
    """Return the reference rules with another chain prefix."""
    return REFERENCE_RULES.replace("ISTIO", prefix)


def rules(uid: str) -> str:
    """Return the nat rules of a pod, but for the policies; why there are none to read, if so."""
    try:
        return ours(nat(uid, "-S"))
    except AssertionError as not_started:
        return str(not_started)


def handles(uid: str) -> str:
    """Return the table with the kernel's handles: whatever is written anew gets a new one."""
    return in_netns(uid, "nft", "--stateless", "--handle", "list", "table", "ip", "nat")


def killed_on(program: str) -> Node | None:
    """Kill a program on the first node on which it runs, and say which that was.

    None: the last victim's successor has not started yet.
    """
    for node in access.nodes():
        if pids := node_side.processes(program, node):
            node_side.send(signal.SIGKILL, *pids, node=node)
            return node
    return None


def kill_and_replace(kube: Kube, component: str) -> None:
    """Kill a component, and have a new pod of it at once: the kubelet would wait ever longer."""
    node = eventually(lambda: killed_on(PROGRAMS[component]))
    assert node is not None
    selector = f"--field-selector=spec.nodeName={node.name}"
    where = ["-n", SYSTEM, "-l", component, selector]
    kube.run("delete", "pod", *where, "--force", "--grace-period=0", "--wait=false")


@pytest.fixture
def recovering(kube: Kube, cluster: Cluster) -> Iterator[Kube]:
    """Leave the installation running."""
    only_local(cluster)
    yield kube
    for component in PROGRAMS:
        eventually(
            lambda component=component: pods(kube, component),  # type: ignore[misc]
            lambda seen: seen and all(map(is_ready, seen)),
        )


def test_whatever_is_killed_at_any_instant_the_next_pass_converges(recovering: Kube) -> None:
    """No rule twice, no drift counted twice or where none was, no rule rewritten for nothing."""
    kube, chance = recovering, random.Random(SEED)  # noqa: S311 - no secret
    churn, flushes = Churn(kube, chance), 0
    still = captured_here(kube, "still", chainPrefix="STILL")
    flushed = captured_here(kube, "flushed", chainPrefix="FLUSHED")
    churn.begin()
    for name in ("still", "flushed"):
        eventually(lambda name=name: status(kube, name), is_programmed)  # type: ignore[misc]
    before = handles(still)
    story = [f"seed {SEED}"]
    for number in range(ROUNDS):
        story.append(f"{number}: {churn.change()}")
        if chance.random() < 0.3:
            nat(flushed, "-F")
            flushes += 1
            story.append("flush")
        time.sleep(chance.uniform(0, LONGEST))
        victim = AGENT if chance.random() < 0.7 else OPERATOR
        kill_and_replace(kube, victim)
        story.append(f"kill {victim}")
        eventually(churn.found, lambda seen: seen == churn.expected())
        eventually(lambda: rules(flushed), lambda seen: seen == reference("FLUSHED"))
        assert handles(still) == before, story
    eventually(
        lambda: status(kube, "churn")["pods"],
        lambda seen: seen["matched"] == seen["programmed"] == sum(churn.captured.values()),
    )
    for name, most in {"still": 0, "churn": 0, "flushed": flushes}.items():
        drift = status(kube, name)["drift"]
        assert drift["repaired"] <= drift["detected"] <= most, (name, drift, story)


def is_programmed(seen: dict[str, Any]) -> bool:
    """Tell whether a capture has its one pod."""
    return bool(seen.get("pods", {}).get("programmed") == 1)


def test_drift_that_stays_is_not_counted_again_by_the_next_agent(recovering: Kube) -> None:
    """What was counted outlives the agent that counted it."""
    kube = recovering
    uid = captured_here(kube, driftPolicy="Report")
    eventually(lambda: status(kube), is_programmed)
    nat(uid, "-D", "OUTPUT", "-p", "tcp", "-j", "ISTIO_OUTPUT")
    eventually(lambda: status(kube)["drift"]["detected"], lambda seen: seen == 1)
    kill_and_replace(kube, AGENT)
    captured_here(kube, "later")
    eventually(lambda: status(kube, "later"), is_programmed)
    node = f"nodecaptures.trafficcapture.io/{CONTROL_PLANE_NODE.name}"
    eventually(lambda: kube.get(node), has_looked_at_every_pod)
    assert status(kube)["drift"]["detected"] == 1


def has_looked_at_every_pod(node_capture: dict[str, Any]) -> bool:
    """Tell whether an agent has examined all that was dispatched last."""
    generation = node_capture["metadata"]["generation"]
    return bool(node_capture["status"]["observedGeneration"] == generation)
