"""What keeps our rules from acting, though the rules themselves look as they should."""

import pytest

from capture_agent.nft_channel import TransactionRefusedError
from capture_nat.compiling import compile_program
from capture_nat.families import Family
from capture_nft import messages
from capture_nft.attributes import be32, string
from capture_nft.masks import Pattern
from capture_nft.snapshots import Snapshot, decode
from capture_nft.uapi import NLM_F_CREATE, TABLE_OWNED, MessageType, NfFamily, TableAttribute
from kernel.capture_nft.channels import MARK, channel_in, commit, dumped, program
from kernel.conftest import NetworkNamespace
from unit.capture_nat.programs import REFERENCE_PROGRAM

V4 = Family.IPV4
RULESET = compile_program(REFERENCE_PROGRAM, V4)


def _snapshot(netns: NetworkNamespace) -> Snapshot:
    with channel_in(netns) as channel:
        return decode(dumped(channel))


def test_a_dormant_table_is_seen_and_woken(netns: NetworkNamespace) -> None:
    """Its rules are as before; only its flags tell."""
    with channel_in(netns) as channel:
        commit(channel, *program(V4, RULESET))
        awake, before = Pattern.of(dumped(channel)), _snapshot(netns)
        netns.run("nft", "add table ip nat { flags dormant; }")
        assert not awake.matches(dumped(channel))
        asleep = _snapshot(netns)
        assert (asleep.chains, asleep.rules) == (before.chains, before.rules)
        assert [table.dormant for table in asleep.tables] == [True]
        commit(channel, messages.wake_table(V4))
        assert awake.matches(dumped(channel))


def test_a_table_that_somebody_owns_is_seen(netns: NetworkNamespace) -> None:
    """Nobody else may write it."""
    owner = messages.message(
        MessageType.NEWTABLE,
        NLM_F_CREATE,
        NfFamily.IPV4,
        string(TableAttribute.NAME, "nat"),
        be32(TableAttribute.FLAGS, TABLE_OWNED),
    )
    with channel_in(netns) as theirs, channel_in(netns) as ours:
        commit(theirs, owner)
        assert [table.owned for table in _snapshot(netns).tables] == [True]
        with pytest.raises(TransactionRefusedError, match="EPERM"):
            commit(ours, messages.add_chain(V4, "X"))


@pytest.mark.parametrize(
    ("chain", "base", "error"),
    [
        ("ip nat OUTPUT { type nat hook output priority -99; }", (3, -99), "EOPNOTSUPP"),
        ("ip nat OUTPUT { type nat hook postrouting priority 100; }", (4, 100), "EOPNOTSUPP"),
        ("ip nat OUTPUT", None, "EEXIST"),
    ],
)
def test_an_output_chain_that_is_not_where_it_should_be_is_seen_and_refuses_ours(
    netns: NetworkNamespace, chain: str, base: tuple[int, int] | None, error: str
) -> None:
    """At another priority, at another hook, or at none."""
    netns.run("nft", f"add table ip nat; add chain {chain}")
    (found,) = _snapshot(netns).chains
    hook = found.base and (found.base.hook.number, found.base.hook.priority)
    assert hook == base
    with channel_in(netns) as channel, pytest.raises(TransactionRefusedError, match=error):
        commit(channel, *program(V4, RULESET))


@pytest.mark.parametrize(("family", "number"), [("inet", NfFamily.INET), ("ip", NfFamily.IPV4)])
def test_another_nat_hook_is_seen(netns: NetworkNamespace, family: str, number: NfFamily) -> None:
    """In a table of any name and family, with its rules in the same dump."""
    netns.run(
        "nft",
        f"add table {family} other; add chain {family} other grab "
        "{ type nat hook output priority -101; }; "
        f"add rule {family} other grab tcp dport 80 redirect to :55",
    )
    snapshot = _snapshot(netns)
    (chain,) = snapshot.chains
    assert (chain.family, chain.table, chain.name) == (number, "other", "grab")
    assert chain.base is not None
    assert (chain.base.kind, chain.base.hook.priority) == ("nat", -101)
    assert [(rule.family, rule.chain) for rule in snapshot.rules] == [(number, "grab")]


def test_our_mark_survives_a_flush_by_iptables(netns: NetworkNamespace) -> None:
    """It is on the chain, not on its rules."""
    with channel_in(netns) as channel:
        commit(channel, *program(V4, RULESET))
    netns.run("iptables-nft", "-t", "nat", "-F")
    marked = {chain.name for chain in _snapshot(netns).chains if chain.comment == MARK}
    assert marked == {*RULESET.names, "PREROUTING", "OUTPUT"}


def test_our_mark_is_what_nft_would_have_written(netns: NetworkNamespace) -> None:
    """The same bytes as a comment that was set with the tool."""
    netns.run("nft", f'add table ip nat; add chain ip nat X {{ comment "{MARK}"; }}')
    with channel_in(netns) as channel:
        theirs = Pattern.of(dumped(channel))
        commit(channel, messages.delete_chain(V4, "X"))
        commit(channel, messages.create_chain(V4, "X", comment=MARK))
        assert theirs.matches(dumped(channel))
