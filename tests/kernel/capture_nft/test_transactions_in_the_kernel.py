"""A transaction is done whole, or refused and nothing of it is done; nobody's write is lost."""

import threading

import pytest

from capture_agent.nft_channel import (
    NftChannel,
    StaleGenerationError,
    TransactionRefusedError,
)
from capture_nat.compiling import compile_program
from capture_nat.families import Family
from capture_nft import messages
from capture_nft.nat_tables import nat_table_of
from capture_nft.reading import rule_of
from capture_nft.rule_texts import RuleTexts
from capture_nft.snapshots import Snapshot, decode
from capture_nft.transactions import Blob, next_generation
from kernel.capture_nat.iptables import Iptables
from kernel.capture_nft.channels import (
    MARK,
    appended,
    channel_in,
    commit,
    dumped,
    netfilter_socket,
    program,
)
from kernel.conftest import NetworkNamespace
from unit.capture_nat.programs import REFERENCE_PROGRAM

V4 = Family.IPV4
RULESET = compile_program(REFERENCE_PROGRAM, V4)
JUMP = RULESET.jumps[1].rule


def _snapshot(channel: NftChannel) -> Snapshot:
    return decode(dumped(channel))


def test_a_commit_makes_the_next_generation(netns: NetworkNamespace) -> None:
    """What it returns is what the kernel says afterwards."""
    with channel_in(netns) as channel:
        before = channel.generation()
        made = channel.commit(Blob.of(program(V4, RULESET)), before)
        assert made == next_generation(before) == channel.generation()


def test_a_commit_that_changes_nothing_returns_the_old_generation(netns: NetworkNamespace) -> None:
    """The table is there already."""
    with channel_in(netns) as channel:
        commit(channel, messages.add_table(V4))
        before = channel.generation()
        assert commit(channel, messages.add_table(V4)) == before == channel.generation()


def test_both_families_are_written_in_one_transaction(netns: NetworkNamespace) -> None:
    """One generation further, both tables are there."""
    both = [
        each
        for family in Family
        for each in program(family, compile_program(REFERENCE_PROGRAM, family))
    ]
    with channel_in(netns) as channel:
        before = channel.generation()
        commit(channel, *both)
        assert channel.generation() == next_generation(before)
        snapshot = _snapshot(channel)
        for family in Family:
            table = nat_table_of(snapshot, family, RuleTexts()).table
            assert table.chains.keys() >= RULESET.names


def test_a_stale_generation_is_refused_and_nothing_changes(netns: NetworkNamespace) -> None:
    """Somebody wrote between our look and our write."""
    with channel_in(netns) as channel:
        looked = channel.generation()
        Iptables(netns, "nft", V4).nat("-A", "OUTPUT", "-p", "udp", "-j", "RETURN")
        written = _snapshot(channel)
        with pytest.raises(StaleGenerationError):
            channel.commit(Blob.of(program(V4, RULESET)), looked)
        assert _snapshot(channel) == written


def test_a_bad_message_undoes_the_whole_batch_and_is_named(netns: NetworkNamespace) -> None:
    """A jump to a chain that is not there, behind good messages."""
    with channel_in(netns) as channel:
        commit(channel, *program(V4, RULESET))
        written = _snapshot(channel)
        bad = appended(V4, ["-A ISTIO_OUTPUT -j NOWHERE"])
        with pytest.raises(TransactionRefusedError, match="NEWRULE ISTIO_OUTPUT: ENOENT"):
            commit(channel, messages.flush_chain(V4, "ISTIO_OUTPUT"), *bad)
        assert _snapshot(channel) == written


def test_a_chain_that_is_there_is_not_created(netns: NetworkNamespace) -> None:
    """Somebody else's chain of our name is not taken over."""
    with channel_in(netns) as channel:
        commit(channel, messages.add_table(V4), messages.add_chain(V4, "X"))
        with pytest.raises(TransactionRefusedError, match="NEWCHAIN X: EEXIST"):
            commit(channel, messages.create_chain(V4, "X", comment=MARK))
        commit(channel, messages.add_chain(V4, "X", comment=MARK))
        assert [chain.comment for chain in _snapshot(channel).chains] == [None]


def test_rules_are_inserted_first_and_deleted_by_handle(netns: NetworkNamespace) -> None:
    """The other rule of the same text stays."""
    texts = ["-A X -j RETURN", "-A X -p tcp -j RETURN"]
    with channel_in(netns) as channel:
        commit(channel, messages.add_table(V4), messages.add_chain(V4, "X"), *appended(V4, texts))
        commit(channel, messages.insert_rule(V4, "X", rule_of(texts[1])))
        first, second, third = _snapshot(channel).rules
        assert first.expressions == third.expressions != second.expressions
        commit(channel, messages.delete_rule(V4, "X", third.handle))
        assert _snapshot(channel).rules == (first, second)


def test_a_batch_larger_than_a_socket_takes_by_default_is_sent(netns: NetworkNamespace) -> None:
    """Two thousand rules at once."""
    rules = [f"-A X -p tcp -m tcp --dport {port} -j RETURN" for port in range(1, 2001)]
    with channel_in(netns) as channel:
        commit(channel, messages.add_table(V4), messages.add_chain(V4, "X"), *appended(V4, rules))
        table = nat_table_of(_snapshot(channel), V4, RuleTexts()).table
        assert table.rules("X") == tuple(rules)


def test_a_policy_that_somebody_chose_is_kept(netns: NetworkNamespace) -> None:
    """The base chain is there already, with a drop policy."""
    Iptables(netns, "nft", V4).nat("-N", "X")
    netns.run("nft", "add chain ip nat OUTPUT { type nat hook output priority -100; policy drop; }")
    with channel_in(netns) as channel:
        commit(channel, *program(V4, RULESET))
        table = nat_table_of(_snapshot(channel), V4, RuleTexts()).table
        assert table.chains["OUTPUT"].policy == "DROP"


def test_no_write_of_somebody_else_is_lost(netns: NetworkNamespace) -> None:
    """Who dumps, decides and commits beside a writer that never stops overwrites nothing."""
    with channel_in(netns) as channel:
        commit(channel, *program(V4, RULESET))
        foreign = NftChannel(netfilter_socket(netns))
        stop, written = threading.Event(), list[str]()
        writer = threading.Thread(target=_write_rules, args=(foreign, stop, written))
        writer.start()
        try:
            refused = _put_the_jump_first(channel, 150)
        finally:
            stop.set()
            writer.join()
            foreign.close()
        _put_the_jump_first(channel, 1)
        found = nat_table_of(_snapshot(channel), V4, RuleTexts()).table.rules("OUTPUT")
    assert refused > 0
    assert found[0] == JUMP
    assert sorted(found[1:]) == sorted(written)


def _write_rules(channel: NftChannel, stop: threading.Event, written: list[str]) -> None:
    """Insert and append foreign rules, every few milliseconds."""
    for number in range(1, 60_000):
        text = f"-A OUTPUT -p udp -m udp --dport {number} -j RETURN"
        add = messages.insert_rule if number % 2 else messages.append_rule
        try:
            commit(channel, add(V4, "OUTPUT", rule_of(text)))
        except StaleGenerationError:
            continue
        written.append(text)
        if stop.wait(0.002):
            return


def _put_the_jump_first(channel: NftChannel, times: int) -> int:
    """Delete our jump wherever it is and insert it first, so often; how often it was refused."""
    done = refused = 0
    texts = RuleTexts()
    while done < times:
        generation = channel.generation()
        try:
            rules = decode(channel.dump(generation) or b"").rules
            handles = [rule.handle for rule in rules if texts.text(rule, V4) == JUMP]
            deletions = [messages.delete_rule(V4, "OUTPUT", handle) for handle in handles]
            insertion = messages.insert_rule(V4, "OUTPUT", rule_of(JUMP))
            channel.commit(Blob.of([*deletions, insertion]), generation)
        except StaleGenerationError:
            refused += 1
        else:
            done += 1
    return refused
