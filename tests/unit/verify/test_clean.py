"""Whatever may happen to a flawless connector, the audit finds nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.verify.history import GAPS, METRICS, OFFSETS, History, audit, busy, dice_of, watch

SEEDS = st.integers(0, 10**9)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS, st.integers(1, 3))
def test_a_clean_history_has_no_findings(seed, shards):
    assert audit(busy(seed, shards=shards), dice=dice_of(seed)).findings.kept == []


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS, st.integers(1, 2))
def test_a_clean_history_has_no_findings_while_it_happens(seed, shards):
    """Transactions become readable partition by partition, and are read in pieces."""
    assert watch(busy(seed, shards=shards), dice_of(seed)).findings.kept == []


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS, st.floats(0, 1))
def test_retention_and_compaction_are_no_findings(seed, share):
    history = busy(seed)
    cut = shortened(history, dice_of(seed), share)
    assert audit(history, cut[0], truncated=cut[1], dice=dice_of(seed)).findings.kept == []


def shortened(history, dice, share):
    """Every partition without a prefix of its own; of compacted topics all that a newer record replaces."""
    transactions = [list(one) for one in history.transactions]
    truncated = set()
    for topic in (METRICS, GAPS):
        for partition in range(history.partitions):
            ends = dice.randint(0, int(len(transactions) * share))
            for one in transactions[:ends]:
                gone = [made for made in one if (made.topic, made.partition) == (topic, partition)]
                if gone:
                    truncated.add((topic, partition))
                one[:] = [made for made in one if made not in gone]
    ends = int(len(transactions) * share)
    newer = set()
    for at, one in reversed(list(enumerate(transactions))):
        for made in [made for made in one if made.topic == OFFSETS]:
            if made.key in newer and at < ends:
                one.remove(made)
            newer.add(made.key)
    return transactions, truncated


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS, st.floats(0, 1))
def test_beginning_at_an_instant_is_no_finding(seed, share):
    history = busy(seed)
    first, last = history.transactions[0][-1].timestamp, history.now
    since = int(first + (last - first) * share)
    assert audit(history, since=since, dice=dice_of(seed)).findings.kept == []


def test_other_accounts_are_ignored():
    history = busy(1)
    foreign = [
        [
            made._replace(value={**made.value, "account": "other", "sequence": 99})
            for made in one
            if made.topic == METRICS
        ]
        for one in history.transactions
    ]
    auditor = audit(history, [*foreign, *history.transactions])
    assert auditor.findings.kept == []
    assert auditor.updates == audit(history).updates > 0


def test_an_empty_account_is_clean_and_unproven():
    auditor = audit(History(), [])
    assert not auditor.findings.totals
    assert auditor.proven_through is None


def test_what_is_proven_is_the_oldest_of_the_shards():
    history = History(shards=2)
    history.commit_all()
    early = history.now - 40
    history.commit(0)
    history.commit(0)
    assert audit(history).proven_through == early


def test_open_gaps_are_shown():
    history = History(departments=2)
    history.push(0, 1)
    history.push(1, 1)
    history.disconnect()
    history.push(0, 2)
    history.commit_all()
    assert audit(history).open_gaps == 1


def test_batches_are_compared_through_the_last_that_all_partitions_have():
    history = busy(3, shards=1)
    assert [shard.horizon for shard in audit(history).shards] == [shard.batch for shard in history.shards]


@pytest.mark.parametrize("seed", range(5))
def test_the_histories_do_something(seed):
    history = busy(seed)
    auditor = audit(history)
    assert auditor.updates > 20
    assert auditor.read[GAPS] > 0
    assert any(made.value is None for one in history.transactions for made in one) or seed
