"""Tampering is noticed, named, counted and repaired by every backend; foreign rules stay."""

import itertools
from collections.abc import AsyncIterator

import pytest

from capture_agent.nat_backends import NatBackend
from capture_agent.reconciling import Reconciler
from capture_api.captures import DriftPolicy, Mode
from capture_api.node_captures import NetnsIdentity, PodState
from capture_nat.families import Family
from kernel.capture_agent.tampered import BACKENDS, LEGACY_TABLES, Tampered, tampered_table
from kernel.capture_agent.tamperings import EMPTIES, JUMP, TAMPERINGS, ours_in
from unit.capture_agent.captures import capture, record

PLACES = list(itertools.product(BACKENDS, Family))
CASES = [
    (place, name)
    for place in PLACES
    for name in TAMPERINGS
    # A legacy table with nothing in it is no reason any more to stay there: a test of its own.
    if place[0] not in LEGACY_TABLES or name != EMPTIES
]


@pytest.fixture(params=PLACES, ids=lambda place: f"{place[0]}-{place[1].name}")
async def tampered(request: pytest.FixtureRequest, host: NetnsIdentity) -> AsyncIterator[Tampered]:
    """A pod in which somebody else has rules already, by each backend in each family."""
    served_by, family = request.param
    async with tampered_table(served_by, family, host) as tampered:
        yield tampered


@pytest.fixture
def backend(tampered: Tampered) -> NatBackend:
    """The backend under test."""
    return tampered.backend


@pytest.mark.parametrize(
    ("tampered", "tampering"),
    CASES,
    indirect=["tampered"],
    ids=[f"{place[0]}-{place[1].name}-{name}" for place, name in CASES],
)
async def test_tampering_is_noticed_named_counted_and_repaired(
    tampered: Tampered, reconciler: Reconciler, tampering: str
) -> None:
    """Once, and without a trace in what others have."""
    kind, commands = TAMPERINGS[tampering]
    after = await reconciler.capture(record(), capture(), tampered.sandbox)
    assert (after.finding.state, after.backend) == (PodState.PROGRAMMED, tampered.served_by)
    whole = ours_in(tampered.rules())
    tampered.do(*commands)
    foreign = tampered.foreign()
    assert foreign or tampering == EMPTIES
    after = await reconciler.capture(after, capture(), tampered.sandbox)
    assert after.finding.state is PodState.PROGRAMMED
    assert (after.detected, after.repaired) == (1, 1)
    assert after.last_drift
    assert after.last_drift.kind == kind
    assert ours_in(tampered.rules()) == whole
    assert tampered.foreign() == foreign
    again = await reconciler.capture(after, capture(), tampered.sandbox)
    assert again.detected == 1


@pytest.mark.parametrize(
    "changes", [{"drift_policy": DriftPolicy.REPORT}, {"mode": Mode.OBSERVE}, {"suspend": True}]
)
async def test_drift_that_is_not_to_be_repaired_is_left_as_it_is(
    tampered: Tampered, reconciler: Reconciler, changes: dict[str, object]
) -> None:
    """Named and counted all the same."""
    sandbox = tampered.sandbox
    after = await reconciler.capture(record(), capture(), sandbox)
    tampered.do(f"-D {JUMP}")
    before = tampered.rules()
    for _ in range(2):
        after = await reconciler.capture(after, capture(None, **changes), sandbox)
    assert (after.finding.state, after.finding.reason) == (PodState.DRIFTED, "JumpMissing")
    assert (after.detected, after.repaired) == (1, 0)
    assert tampered.rules() == before


async def test_release_leaves_the_foreign_rules_bit_for_bit(
    tampered: Tampered, reconciler: Reconciler
) -> None:
    """Also after a repair."""
    before, foreign = tampered.rules(), tampered.foreign()
    sandbox = tampered.sandbox
    after = await reconciler.capture(record(), capture(), sandbox)
    tampered.do("-D ISTIO_OUTPUT 1")
    after = await reconciler.capture(after, capture(), sandbox)
    after = await reconciler.release(after, sandbox)
    assert after.held_by == ""
    assert (tampered.rules(), tampered.foreign()) == (before, foreign)


async def test_chains_in_use_by_foreign_rules_are_kept_empty(
    tampered: Tampered, reconciler: Reconciler
) -> None:
    """Until the rule that refers to them goes."""
    before, sandbox = tampered.rules(), tampered.sandbox
    after = await reconciler.capture(record(), capture(), sandbox)
    tampered.do("-A FOREIGN -p tcp -j ISTIO_REDIRECT")
    after = await reconciler.release(after, sandbox)
    assert after.finding.reason == "ChainReferenced"
    tampered.do("-D FOREIGN -p tcp -j ISTIO_REDIRECT")
    after = await reconciler.release(after, sandbox)
    assert after.held_by == ""
    assert tampered.rules() == before
