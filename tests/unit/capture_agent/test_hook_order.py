"""Of two nat tables the later one wins; which one that is, is known if one was seen alone."""

import pytest

from capture_agent.hook_order import LEGACY, NF_TABLES, HookOrder
from capture_nat.families import Family

NEITHER, BOTH = (False, False), (True, True)
NFT_ALONE, LEGACY_ALONE = (True, False), (False, True)


@pytest.mark.parametrize(
    ("seen", "later"),
    [
        ([NFT_ALONE, BOTH], LEGACY),
        ([LEGACY_ALONE, BOTH], NF_TABLES),
        ([LEGACY_ALONE, BOTH, NFT_ALONE, BOTH, BOTH], LEGACY),
        ([BOTH], ""),
        ([NFT_ALONE, NEITHER, BOTH], ""),
    ],
)
def test_the_table_that_was_not_seen_alone_came_later(
    seen: list[tuple[bool, bool]], later: str
) -> None:
    """In each family by itself."""
    order = HookOrder()
    for nf_tables, legacy in seen:
        order.saw(Family.IPV4, nf_tables=nf_tables, legacy=legacy)
    assert order.later(Family.IPV4) == later
    assert order.later(Family.IPV6) == ""
