"""Each fault that is put into a clean history is found, and named for what it is."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from unit.verify.history import GAPS, HEARTBEATS, LATEST, METRICS, OFFSETS, History, audit, busy, dice_of, watch

SEEDS = st.integers(0, 10**9)


def records(transactions, topic):
    """Place of every record of a topic: transaction and position in it."""
    return [
        (at, position)
        for at, one in enumerate(transactions)
        for position, made in enumerate(one)
        if made.topic == topic and made.value is not None
    ]


def same_series(transactions, topic, dice):
    """Places of a series with at least four records of the topic, in order."""
    found = {}
    for at, position in records(transactions, topic):
        found.setdefault(transactions[at][position].value["series"], []).append((at, position))
    long = [places for name, places in sorted(found.items()) if len(places) > 3 and name != "#shard"]
    assume(long)
    return dice.choice(long)


def change(transactions, place, **fields):
    at, position = place
    made = transactions[at][position]
    transactions[at][position] = made._replace(value={**made.value, **fields})


def drop(transactions, dice):
    at, position = dice.choice(same_series(transactions, METRICS, dice)[1:-1])
    del transactions[at][position]


def drop_the_last(transactions, dice):
    at, position = same_series(transactions, METRICS, dice)[-1]
    del transactions[at][position]


def duplicate(transactions, dice):
    at, position = dice.choice(same_series(transactions, METRICS, dice))
    transactions[at].insert(position + 1, transactions[at][position])


def reorder(transactions, dice):
    places = same_series(transactions, METRICS, dice)
    first = dice.randrange(1, len(places) - 1)
    (at, one), (later, other) = places[first], places[first + 1]
    transactions[at][one], transactions[later][other] = transactions[later][other], transactions[at][one]


def rewind_epoch(transactions, dice):
    places = same_series(transactions, METRICS, dice)
    later = [place for place in places if transactions[place[0]][place[1]].value["epoch"] > 1]
    assume(later and later[0] != places[0])
    value = transactions[later[-1][0]][later[-1][1]].value
    event_id = f"acme/{value['series']}/0/{value['sequence']}"
    change(transactions, later[-1], epoch=0, event_id=event_id)


def final_gaps(transactions):
    """Places of final gaps that were followed by an update of their series, or by its row."""
    return [(at, pos) for at, pos in records(transactions, GAPS) if transactions[at][pos].value["ended_at"] is not None]


def leave_out_a_gap(transactions, dice):
    finals = final_gaps(transactions)
    assume(finals)
    at, position = dice.choice(finals)
    series = transactions[at][position].value["series"]
    # What lies before the first update is nobody's to miss.
    rows = [transactions[a][p].value for a, p in records(transactions, OFFSETS) if a < at]
    assume(any(row["series"] == series for row in rows))
    del transactions[at][position]


def repeat_a_gap(transactions, dice):
    finals = final_gaps(transactions)
    assume(finals)
    at, position = dice.choice(finals)
    transactions[at].insert(position + 1, transactions[at][position])


def invent_a_gap(transactions, dice):
    finals = final_gaps(transactions)
    assume(finals)
    newest = {transactions[at][pos].value["series"]: (at, pos) for at, pos in finals}
    at, position = newest[dice.choice(sorted(newest))]
    made = transactions[at][position]
    value = {**made.value, "epoch_before": made.value["epoch_after"], "epoch_after": made.value["epoch_after"] + 1}
    value["gap_id"] = f"acme/{value['series']}/{value['epoch_after']}"
    transactions[-1].append(made._replace(value=value))


def bend_a_gap(transactions, dice):
    finals = final_gaps(transactions)
    assume(finals)
    place = dice.choice(finals)
    value = transactions[place[0]][place[1]].value
    by = dice.choice([1, 2])
    last, first = value["last_sequence_before"] + by, value["first_sequence_after"] + by
    known = [transactions[a][p].value for a, p in records(transactions, METRICS)]
    assume(any(one["series"] == value["series"] for one in known))
    change(transactions, place, last_sequence_before=last, first_sequence_after=first)


def offset_too_far(transactions, dice):
    newest = {}
    for at, position in records(transactions, OFFSETS):
        newest[transactions[at][position].value["series"]] = at, position
    newest.pop("#shard")
    known = {transactions[a][p].value["series"] for a, p in records(transactions, METRICS)}
    assume(known)
    place = newest[dice.choice(sorted(known))]
    change(transactions, place, last_sequence=transactions[place[0]][place[1]].value["last_sequence"] + 1)


def offset_too_short(transactions, dice):
    newest = {}
    for at, position in records(transactions, OFFSETS):
        newest[transactions[at][position].value["series"]] = at, position
    known = {transactions[a][p].value["series"] for a, p in records(transactions, METRICS)}
    assume(known)
    place = newest[dice.choice(sorted(known))]
    change(transactions, place, last_sequence=transactions[place[0]][place[1]].value["last_sequence"] - 1)


def drop_a_heartbeat(transactions, dice):
    """Any but the first of its partition, which is the baseline."""
    firsts = {}
    for at, position in records(transactions, HEARTBEATS):
        firsts.setdefault(transactions[at][position].partition, (at, position))
    at, position = dice.choice([beat for beat in records(transactions, HEARTBEATS) if beat not in firsts.values()])
    del transactions[at][position]


def lose_before_the_ledger(transactions, dice):
    """Received, but never numbered: the counters of this and all later heartbeats of the owner tell."""
    beats = [transactions[a][p].value for a, p in records(transactions, HEARTBEATS)]
    victim = dice.choice(beats[len(beats) // 2 :])
    owner = victim["shard"], victim["owner_epoch"]
    for at, position in records(transactions, HEARTBEATS):
        value = transactions[at][position].value
        if (value["shard"], value["owner_epoch"]) == owner and value["batch_id"] >= victim["batch_id"]:
            change(transactions, (at, position), values_received_total=value["values_received_total"] + 1)


def number_twice(transactions, dice):
    """One value of the source becomes two records with two sequences; everything that follows agrees with it."""
    places = same_series(transactions, METRICS, dice)
    at, position = dice.choice(places[:-1])
    first = transactions[at][position]
    for one in transactions[at:]:
        for index, made in enumerate(one):
            value = made.value
            if value is None or value.get("series") != first.value["series"]:
                continue
            if made.topic in (METRICS, LATEST) and value["sequence"] > first.value["sequence"]:
                one[index] = made._replace(value={**value, "sequence": value["sequence"] + 1, "event_id": moved(value)})
            elif made.topic == OFFSETS:
                one[index] = made._replace(value={**value, "last_sequence": value["last_sequence"] + 1})
    again = {**first.value, "sequence": first.value["sequence"] + 1, "event_id": moved(first.value)}
    headers = [("ce_id", again["event_id"].encode())]
    transactions[at].insert(position + 1, first._replace(value=again, headers=headers))


def moved(value):
    return f"acme/{value['series']}/{value['epoch']}/{value['sequence'] + 1}"


FAULTS = {
    drop: {"lost"},
    drop_the_last: {"offset_ahead", "lost"},
    duplicate: {"duplicated"},
    reorder: {"reordered", "duplicated"},
    rewind_epoch: {"epoch_rewind"},
    leave_out_a_gap: {"undeclared_gap"},
    repeat_a_gap: {"gap_repeated"},
    invent_a_gap: {"gap_without_step"},
    bend_a_gap: {"gap_mismatch"},
    offset_too_far: {"offset_ahead"},
    offset_too_short: {"offset_behind"},
    drop_a_heartbeat: {"heartbeat_hole"},
    lose_before_the_ledger: {"unbalanced"},
    number_twice: {"duplicated"},
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(SEEDS)
def test_an_injected_fault_is_found(fault, seed):
    history = busy(seed)
    transactions = [list(one) for one in history.transactions]
    fault(transactions, dice_of(seed))
    found = audit(history, transactions, dice=dice_of(seed)).findings
    assert FAULTS[fault] & set(found.totals), found.kept


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(SEEDS)
def test_an_injected_fault_is_found_while_it_happens(fault, seed):
    history = busy(seed)
    fault(history.transactions, dice_of(seed))
    found = watch(history, dice_of(seed)).findings
    assert FAULTS[fault] & set(found.totals), found.kept


# One fault each in the smallest history, with exactly what is said about it.


def small(*, beats=True):
    """Three updates of one series in two epochs, one transaction each."""
    history = History(partitions=1, departments=1)
    history.push(0, 1)
    history.commit(beat=beats)
    history.disconnect()
    history.push(0, 2)
    history.commit(beat=beats)
    history.push(0, 3)
    history.commit(beat=beats)
    return history


def found(history, edit):
    """Kinds that the audit names after the edit, and none before it."""
    assert not audit(history).findings.totals
    transactions = [list(one) for one in history.transactions]
    edit(transactions)
    return dict(audit(history, transactions).findings.totals)


def edited(topic, number, **fields):
    def edit(transactions):
        change(transactions, records(transactions, topic)[number], **fields)

    return edit


def test_time_that_falls_inside_an_epoch():
    history = small()
    times = [made.value["received_at"] for one in history.transactions for made in one if made.topic == METRICS]

    def edit(transactions):
        for topic in (METRICS, LATEST):
            at, position = records(transactions, topic)[2]
            change(transactions, (at, position), received_at=times[1] - 1)
            transactions[at][position] = transactions[at][position]._replace(timestamp=times[1] - 1)

    assert found(history, edit) == {"reordered": 1, "late": 1}


def test_a_late_update():
    history = History(partitions=1, departments=1)
    for value in range(3):
        history.push(0, value)
        history.now += 100
        history.commit()
    received = [made.value["received_at"] for one in history.transactions for made in one if made.topic == METRICS]

    def edit(transactions):
        at, position = records(transactions, HEARTBEATS)[1]
        change(transactions, (at, position), complete_through=received[2] + 1)
        transactions[at][position] = transactions[at][position]._replace(timestamp=received[2] + 1)

    assert found(history, edit) == {"late": 1}


def test_a_frame_that_falls():
    assert found(small(), edited(METRICS, 2, frame=0)) == {"reordered": 1}


def test_a_frame_twice():
    assert found(small(), edited(METRICS, 2, frame=1)) == {"duplicated": 1}


def test_a_session_that_speaks_again():
    history = small()
    history.disconnect()
    history.push(0, 4)
    history.commit()
    assert found(history, edited(METRICS, 3, session_id="s1")) == {"reordered": 1}


def test_a_session_that_changes_inside_an_epoch():
    assert found(small(), edited(METRICS, 2, session_id="s9")) == {"undeclared_gap": 1}


def test_a_gap_whose_ends_do_not_meet():
    assert found(small(), edited(GAPS, 0, first_sequence_after=3)) == {"gap_mismatch": 1}


def test_a_gap_that_ends_after_the_wrong_sequence():
    wrong = edited(GAPS, 0, last_sequence_before=0, first_sequence_after=1)
    assert found(small(), wrong) == {"gap_mismatch": 1}


def test_a_gap_that_skips_an_epoch():
    assert "gap_mismatch" in found(small(), edited(GAPS, 0, epoch_before=0))


def test_a_final_gap_that_starts_later_than_its_open_one():
    history = History(partitions=1, departments=1)
    history.push(0, 1)
    history.commit()
    history.disconnect()
    history.commit()
    history.push(0, 2)
    history.commit()
    started = history.transactions[1][0].value["started_at"]
    assert found(history, edited(GAPS, 1, started_at=started + 1)) == {"gap_mismatch": 1}


def test_an_open_gap_without_a_record():
    history = History(partitions=1, departments=1)
    history.push(0, 1)
    history.commit()
    history.disconnect()
    history.commit()
    assert found(history, lambda transactions: transactions[1].pop(0)) == {"undeclared_gap": 1}


def test_a_step_without_an_update():
    """The value is the same after the gap: the epoch moves in the offsets alone."""
    history = History(partitions=1, departments=1)
    history.push(0, 1)
    history.commit()
    history.disconnect()
    history.push(0, 1)
    history.commit()
    assert found(history, lambda transactions: transactions[1].pop(0)) == {"undeclared_gap": 1}


def test_a_latest_record_of_another_value():
    assert found(small(), edited(LATEST, 2, value=9.0)) == {"latest_differs": 1}


def test_a_latest_record_that_is_missing():
    def edit(transactions):
        at, position = records(transactions, LATEST)[2]
        del transactions[at][position]

    assert found(small(), edit) == {"latest_differs": 1}


def test_a_tombstone_of_a_series_that_is_followed():
    def edit(transactions):
        at, position = records(transactions, LATEST)[2]
        transactions[at].append(transactions[at][position]._replace(value=None))

    assert found(small(), edit) == {"latest_differs": 1}


def test_a_retired_series_that_stays_in_latest():
    history = small()
    history.retire(0)
    history.commit()

    def edit(transactions):
        transactions[3] = [made for made in transactions[3] if made.value is not None]

    assert found(history, edit) == {"latest_differs": 1}


def test_a_series_without_a_source_offset():
    def edit(transactions):
        for one in transactions:
            one[:] = [made for made in one if made.topic != OFFSETS or made.value["series"] == "#shard"]

    kinds = found(small(), edit)
    assert kinds["offset_behind"] == 1


def test_a_batch_that_lacks_a_record():
    kinds = found(small(), edited(OFFSETS, 3, batch_records_total=2, batch_records=2))
    assert kinds == {"batch_mismatch": 1}


def test_records_between_heartbeats_that_were_not_counted():
    kinds = found(small(), edited(HEARTBEATS, 2, records_total=4, values_received_total=4))
    assert kinds == {"miscounted": 1}


def test_counters_that_do_not_add_up_are_told_once():
    history = small()
    history.commit()

    def edit(transactions):
        for number in (1, 2, 3):
            at, position = records(transactions, HEARTBEATS)[number]
            change(transactions, (at, position), waiting=1)

    assert found(history, edit) == {"unbalanced": 1}


def test_a_heartbeat_that_is_repeated():
    kinds = found(small(), edited(HEARTBEATS, 2, heartbeat_seq=2))
    assert kinds == {"heartbeat_repeated": 1}


def test_the_last_heartbeat_of_one_partition():
    history = History(partitions=2, departments=1)
    history.commit()
    history.commit()

    def edit(transactions):
        del transactions[1][1]

    assert found(history, edit) == {"heartbeat_hole": 1}


def test_a_watermark_that_falls():
    history = small()
    at, position = records(history.transactions, HEARTBEATS)[2]
    early = history.transactions[0][0].timestamp

    def edit(transactions):
        change(transactions, (at, position), complete_through=early)
        transactions[at][position] = transactions[at][position]._replace(timestamp=early)

    assert found(history, edit) == {"watermark_fell": 1}


def test_a_batch_of_two_owners():
    history = History(partitions=1, departments=1)
    history.commit()
    history.takeover()
    history.commit()

    def edit(transactions):
        for index, made in enumerate(transactions[1]):
            if "batch_id" in made.value:
                batch = made.value["batch_id"]
                transactions[1][index] = made._replace(value={**made.value, "batch_id": batch - 1})

    assert "batch_forked" in found(history, edit)


def test_an_owner_that_comes_back():
    history = History(partitions=1, departments=1)
    history.commit(beat=False)
    history.takeover()
    history.commit(beat=False)
    history.commit(beat=False)
    assert found(history, edited(OFFSETS, 2, owner_epoch=1)) == {"batch_forked": 1}


def test_a_header_that_names_another_event():
    def edit(transactions):
        made = transactions[2][0]
        transactions[2][0] = made._replace(headers=[("ce_id", b"acme/other")])

    assert found(small(), edit) == {"misidentified": 1}


def test_an_event_id_of_other_fields():
    kinds = found(small(), edited(METRICS, 2, event_id="acme/x/1/3"))
    assert kinds == {"misidentified": 2}


def test_fields_of_another_series():
    assert found(small(), edited(METRICS, 2, metric="agents_away")) == {"misidentified": 1}


@pytest.mark.parametrize("topic", [METRICS, LATEST, GAPS, HEARTBEATS])
def test_a_kafka_timestamp_of_its_own(topic):
    def edit(transactions):
        at, position = records(transactions, topic)[0]
        transactions[at][position] = transactions[at][position]._replace(timestamp=5)

    assert found(small(), edit) == {"mistimed": 1}


@pytest.mark.parametrize("topic", [METRICS, LATEST, GAPS, HEARTBEATS, OFFSETS])
def test_a_wrong_key(topic):
    def edit(transactions):
        at, position = records(transactions, topic)[0]
        transactions[at][position] = transactions[at][position]._replace(key="x")

    assert found(small(), edit) == {"misplaced": 1}


def test_a_wrong_partition():
    history = History(partitions=4, departments=1)
    history.push(0, 1)
    history.commit()

    def edit(transactions):
        made = transactions[0][0]
        transactions[0][0] = made._replace(partition=(made.partition + 1) % 4)

    assert found(history, edit) == {"misplaced": 1}


def test_a_null_where_none_may_be():
    def edit(transactions):
        transactions[1].append(transactions[0][0]._replace(value=None))

    assert found(small(), edit) == {"undecodable": 1}
