"""Plans for the tables of both families are said to the kernel as one transaction."""

from hypothesis import given
from hypothesis import strategies as st

from capture_nat.commands import DeleteRule, InsertFirst
from capture_nat.families import Family
from capture_nat.planning import Plan
from capture_nft.plans import messages_of, transaction_of
from capture_nft.transactions import Blob

MARK = "trafficcapture.io"
JUMP = "-A OUTPUT -p tcp -j X_OUTPUT"
PLANS = st.sampled_from(
    [
        Plan(adopted=("X_OUTPUT",)),
        Plan(create=("X_OUTPUT", "OUTPUT")),
        Plan(commands=(InsertFirst(JUMP),)),
        Plan(commands=(DeleteRule(JUMP), InsertFirst(JUMP))),
        Plan(drop_if_empty=("OUTPUT",)),
    ]
)


@given(st.dictionaries(st.sampled_from(Family), PLANS))
def test_a_transaction_says_every_familys_plan_and_nothing_else(plans: dict[Family, Plan]) -> None:
    """In the order of the plans, each with the handles of its own table; nothing at all is None."""
    handles = {family: {JUMP: (family.value,)} for family in Family}
    expected = [
        message
        for family, plan in plans.items()
        for message in messages_of(plan, family, MARK, handles[family])
    ]
    transaction = transaction_of(plans, MARK, handles)
    assert transaction == (Blob.of(expected) if expected else None)


def test_plans_that_delete_nothing_need_no_handles() -> None:
    """So what they say is the same for every pod."""
    plans = dict.fromkeys(Family, Plan(commands=(InsertFirst(JUMP),)))
    assert transaction_of(plans, MARK, {}) == transaction_of(
        plans, MARK, {family: {JUMP: (7,)} for family in Family}
    )
