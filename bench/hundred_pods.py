"""100 running pods: one `kubectl apply`, against a loop of nsenter and iptables-restore.

Ours ends when the status counts every pod as programmed: found, verified, written, read back and
reported. A watch tells when, and when each step on the way there was done, whose medians are in the
details. The reference only writes: a shell on the node enters one namespace after the other, with
the PIDs found beforehand, and restores the same rules. Both run in turns, on the same pods.
"""

import json
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from capture_api.names import CAPTURE_PROGRAMS, NODE_CAPTURES, TRAFFIC_CAPTURES
from capture_api.resolution import decode_spec, resolve
from capture_nat.commands import restore_input
from capture_nat.compiling import compile_program
from capture_nat.families import Family
from capture_nat.planning import plan_changes
from capture_nat.tables import NatTable
from cluster_pods import BenchCluster
from figures import AtMost, Figure
from watches import Object

PODS = 100
ROUNDS = 3
GOAL_SECONDS = 1.5

SPEC = {
    "podSelector": {"matchLabels": {"app": "bench"}},
    "inbound": {"redirectPort": 15006},
    "outbound": {"redirectPort": 15001},
}
CAPTURE = {
    "apiVersion": "trafficcapture.io/v1alpha1",
    "kind": "TrafficCapture",
    "metadata": {"name": "bench"},
    "spec": SPEC,
}


def measure(bench: BenchCluster) -> list[Figure]:
    """Measure both, in turns, and give the medians in seconds."""
    with bench.running_pods(PODS) as pids:
        rounds = [(_ours(bench), _reference(bench, pids)) for _ in range(ROUNDS)]
    ours = [steps[COUNTED] for steps, _ in rounds]
    return [
        Figure(
            name="hundred-pods",
            what=f"kubectl apply until {PODS} running pods are programmed and counted in status",
            ours=statistics.median(ours),
            reference=statistics.median(reference for _, reference in rounds),
            compared_with="a loop of nsenter + iptables-nft-restore on the node, told which pods",
            unit="s",
            goal=AtMost(GOAL_SECONDS),
            details={"ours least": min(ours), "ours most": max(ours)}
            | {step: statistics.median(steps[step] for steps, _ in rounds) for step in STEPS},
        )
    ]


def _ours(bench: BenchCluster) -> dict[str, float]:
    """Seconds from the start of kubectl to each step."""
    with ExitStack() as stack:
        watches = {kind: stack.enter_context(bench.watched(kind)) for kind in KINDS}
        began = time.perf_counter()
        bench.kubectl("apply", "--filename=-", stdin=json.dumps(CAPTURE))
        took = {step: watches[kind].until(is_so) - began for step, (kind, is_so) in STEPS.items()}
    bench.kubectl("delete", "tcap", "bench", "--timeout=2m")
    return took


def _is_ours(seen: Object) -> bool:
    return bool(seen["metadata"]["name"] == "bench" == seen["metadata"]["namespace"])


def _is_dispatched(seen: Object) -> bool:
    pods = seen.get("spec", {}).get("pods", ())
    programs = [each.get("program", {}).get("name") for each in pods]
    return programs.count("bench") == PODS


def _is_reported(seen: Object) -> bool:
    pods = seen.get("status", {}).get("pods", ())
    found = [each["state"] for each in pods if each["namespace"] == "bench"]
    return found == ["Programmed"] * PODS


def _is_counted(seen: Object) -> bool:
    count = seen.get("status", {}).get("pods", {}).get("programmed")
    return _is_ours(seen) and bool(count == PODS)


COUNTED: Final = "counted"
KINDS: Final = (TRAFFIC_CAPTURES, CAPTURE_PROGRAMS, NODE_CAPTURES)
STEPS: Final[dict[str, tuple[str, Callable[[Object], bool]]]] = {
    "accepted": (TRAFFIC_CAPTURES, _is_ours),
    "resolved": (CAPTURE_PROGRAMS, _is_ours),
    "dispatched": (NODE_CAPTURES, _is_dispatched),
    "reported": (NODE_CAPTURES, _is_reported),
    COUNTED: (TRAFFIC_CAPTURES, _is_counted),
}
"""What is so of an object of a kind once a step is done."""


def _reference(bench: BenchCluster, pids: list[int]) -> float:
    ruleset = compile_program(resolve(decode_spec(SPEC)), Family.IPV4)
    rules = restore_input(plan_changes(ruleset, NatTable(), frozenset()).commands)
    loop = (
        'rules=$(cat); for pid in "$@"; do '
        'printf "%s\\n" "$rules" | nsenter -t "$pid" -n iptables-nft-restore --noflush; done'
    )
    began = time.perf_counter()
    bench.on_node("sh", "-c", loop, "sh", *map(str, pids), stdin=rules)
    took = time.perf_counter() - began
    flush = 'for pid in "$@"; do nsenter -t "$pid" -n nft delete table ip nat; done'
    bench.on_node("sh", "-c", flush, "sh", *map(str, pids))
    return took
