"""What a capture's status says of pods that start: refused, late, or on a node that doesn't ask."""

from dataclasses import replace

import msgspec
import pytest

from capture_api.conditions import Condition
from capture_api.contests import Candidate
from capture_api.node_captures import (
    START_REFUSED,
    AgentInfo,
    Captured,
    NriConnection,
    PodEvidence,
    PodState,
)
from capture_operator.aggregation import assess
from capture_operator.captures import Capture
from capture_operator.pods import Pod
from capture_operator.reports import NodeReport, node_report
from capture_operator.times import render_time
from capture_operator.views import CaptureView
from unit.capture_operator.objects import EPOCH
from unit.capture_operator.values import (
    capture,
    dispatched,
    entry,
    evidence,
    pod,
    ref,
    report,
    view,
)

CONNECTED = NriConnection(connected=True, runtime="containerd", version="2.2.1")
AWAY = NriConnection(connected=False, since=render_time(EPOCH - 3600))
AGENT = AgentInfo(version="1", ready=True)
REFUSED = PodEvidence(
    uid="a",
    namespace="demo",
    name="a",
    state=PodState.FAILED,
    reason=START_REFUSED,
    message="the nat table can't be read",
)


def with_nri(nri: NriConnection | None, node: str = "node1", name: str = "a") -> NodeReport:
    """Report a programmed pod from a node in that state."""
    base = report(node, pods=(dispatched(name, ref()),), found=(evidence(name),))
    agent = msgspec.structs.replace(AGENT, nri=nri)
    return node_report(base.metadata, base.spec, msgspec.structs.replace(base.status, agent=agent))


def looked_at(nri: NriConnection | None, of: Capture | None = None) -> CaptureView:
    """Look at a capture with one programmed pod on such a node."""
    return view(of=of, pods=(pod("a"),), reports=(with_nri(nri),))


def told(of: CaptureView) -> Condition | None:
    """Read the condition about the start of pods, if it is there."""
    found = assess(of).status.conditions
    return next((item for item in found if item.type == "StartUnguarded"), None)


def starting(found: PodEvidence, created: float) -> CaptureView:
    """Look at a capture of one pod without a network yet."""
    new = msgspec.structs.replace(pod("a", network_since=None), created=created)
    return view(pods=(new,), reports=(report(pods=(dispatched("a", ref()),), found=(found,)),))


@pytest.mark.parametrize(
    ("nri", "why"), [(AWAY, "NRI is not connected"), (None, "NRI is off")], ids=["away", "off"]
)
def test_a_node_that_does_not_ask_is_named(nri: NriConnection | None, why: str) -> None:
    """With why, and what to do; Ready is about what is captured, and stays."""
    of = looked_at(nri)
    condition = told(of)
    assert condition is not None
    assert (condition.status, condition.reason) == ("True", "NRINotConnected")
    assert condition.message.startswith(f"node1 ({why}): ")
    assert "failurePolicy" in condition.message
    assert assess(of).status.conditions[0].status == "True"


def test_nothing_is_told_of_a_node_that_asks() -> None:
    """All is well."""
    assert told(looked_at(CONNECTED)) is None


@pytest.mark.parametrize(
    "of",
    [
        capture(failurePolicy="Ignore"),
        capture(mode="Observe"),
        capture(suspend=True),
        capture(inbound=None),
        capture(deleting=True),
    ],
    ids=["ignore", "observe", "suspended", "invalid", "deleting"],
)
def test_a_capture_that_lets_pods_start_does_not_mind(of: Capture) -> None:
    """It asked for nothing else."""
    assert told(looked_at(AWAY, of)) is None


@pytest.mark.parametrize(
    ("pods", "candidates"),
    [
        ((pod("a"), pod("b", node="node2", finished=True)), (entry(),)),
        (
            (pod("a"), pod("b", node="node2", labels={"app": "x"})),
            (entry(), entry("high", labels={"app": "x"}, priority=9)),
        ),
        ((pod("a"), pod("b", node="")), (entry(),)),
    ],
    ids=["finished", "superseded", "unscheduled"],
)
def test_only_nodes_of_its_own_pods_concern_a_capture(
    pods: tuple[Pod, ...], candidates: tuple[Candidate, ...]
) -> None:
    """A tenant is not told of the whole cluster."""
    nodes = (with_nri(CONNECTED), with_nri(AWAY, "node2", "b"))
    assert told(view(pods=pods, candidates=candidates, reports=nodes)) is None


def test_an_agent_that_has_not_spoken_is_not_judged() -> None:
    """A new node's NodeCapture has no status yet."""
    assert told(view(pods=(pod("a"),), reports=(report(pods=(dispatched("a", ref()),)),))) is None


def test_a_node_that_is_lost_is_told_of_once() -> None:
    """As unreachable: its last word on NRI is no evidence any more."""
    of = replace(looked_at(AWAY), out_of_reach={"node1": EPOCH - 100})
    assert told(of) is None


def test_a_restart_of_the_runtime_is_not_told_of() -> None:
    """It has ten seconds, and then the status is looked at again."""
    of = looked_at(NriConnection(connected=False, since=render_time(EPOCH - 4)))
    assert told(of) is None
    assert assess(of).recheck_after == 6
    assert told(replace(of, now=EPOCH + 6)) is not None


def test_a_pod_that_was_not_let_start_needs_attention_at_once() -> None:
    """Whoever waits for it finds the reason."""
    status = assess(starting(REFUSED, EPOCH - 1)).status
    [note] = status.attention
    assert (note.pod, note.state, note.reason) == ("a", "Failed", START_REFUSED)
    assert note.message == "the nat table can't be read"


def test_a_pod_that_is_kept_from_starting_makes_it_unready_after_ten_seconds() -> None:
    """It never gets a network, so its age counts; a refusal that heals by itself moves nothing."""
    of = starting(REFUSED, EPOCH - 4)
    first, *others = assess(of).status.conditions
    assert (first.type, first.reason) == ("Ready", "Pending")
    assert START_REFUSED not in {item.type for item in others}
    assert assess(of).recheck_after == 6
    first, *others = assess(replace(of, now=EPOCH + 6)).status.conditions
    assert (first.status, first.reason) == ("False", "Failed")
    assert START_REFUSED in {item.type for item in others}


def test_pods_that_were_captured_late_are_counted() -> None:
    """Those that are captured, and only them."""
    found = [
        msgspec.structs.replace(evidence(f"p{number}", state), captured=captured)
        for number, (state, captured) in enumerate(
            [
                (PodState.PROGRAMMED, Captured.LATE),
                (PodState.DRIFTED, Captured.LATE),
                (PodState.FAILED, Captured.LATE),
                (PodState.PROGRAMMED, Captured.BEFORE_FIRST_CONTAINER),
                (PodState.PROGRAMMED, None),
            ]
        )
    ]
    of = view(
        pods=tuple(pod(item.name) for item in found),
        reports=(
            report(pods=tuple(dispatched(item.uid, ref()) for item in found), found=tuple(found)),
        ),
    )
    counted = assess(of).status.pods
    assert (counted.late, counted.matched) == (2, 5)
