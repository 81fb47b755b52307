"""100 running pods: one `kubectl apply`, against a loop of nsenter and iptables-restore.

Ours ends when the status counts every pod as programmed: found, verified, written, read back and
reported. The reference only writes: a shell on the node enters one namespace after the other, with
the PIDs found beforehand, and restores the same rules. Both run in turns, on the same pods.
"""

import json
import statistics
import time

from capture_api.resolution import decode_spec, resolve
from capture_nat.commands import restore_input
from capture_nat.compiling import compile_program
from capture_nat.families import Family
from capture_nat.planning import plan_changes
from capture_nat.tables import NatTable
from cluster_pods import BenchCluster
from figures import AtMost, Figure

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
    ours = [each for each, _ in rounds]
    return [
        Figure(
            name="hundred-pods",
            what=f"kubectl apply until {PODS} running pods are programmed and counted in status",
            ours=statistics.median(ours),
            reference=statistics.median(reference for _, reference in rounds),
            compared_with="a loop of nsenter + iptables-nft-restore on the node, told which pods",
            unit="s",
            goal=AtMost(GOAL_SECONDS),
            details={"ours least": min(ours), "ours most": max(ours)},
        )
    ]


def _ours(bench: BenchCluster) -> float:
    count = ("get", "tcap", "bench", "--output=jsonpath={.status.pods.programmed}")
    began = time.perf_counter()
    bench.kubectl("apply", "--filename=-", stdin=json.dumps(CAPTURE))
    while bench.kubectl(*count) != str(PODS):
        pass
    took = time.perf_counter() - began
    bench.kubectl("delete", "tcap", "bench", "--timeout=2m")
    return took


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
