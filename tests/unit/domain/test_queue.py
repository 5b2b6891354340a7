"""The queue: bounded in memory, the rest in a store, always in order."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.domain.queue import Queue


class ListStore:
    def __init__(self):
        self.recording = False
        self.error = None
        self.items = deque()

    def append(self, item):
        self.items.append(item)

    def load(self, skip, count):
        return list(self.items)[skip : skip + count]

    def release(self, count):
        for _ in range(count):
            self.items.popleft()


@given(st.lists(st.one_of(st.just("append"), st.just("record"), st.integers(1, 5)), max_size=200))
def test_whatever_happens_the_order_is_kept_and_memory_is_bounded(steps):
    store = ListStore()
    queue = Queue(room=1000, memory=4, store=store)
    expected, number = deque(), 0
    for step in steps:
        if step == "record" and not store.recording:
            store.recording = True
            queue.record()
        elif step == "append":
            number += 1
            queue.append(number)
            expected.append(number)
        elif isinstance(step, int):
            count = min(step, queue.in_memory)
            assert [queue[at] for at in range(count)] == [expected.popleft() for _ in range(count)]
            queue.release(count)
        assert len(queue) == len(expected)
        assert bool(queue.in_memory) == bool(expected)
        if store.recording:
            assert list(store.items)[-len(expected) :] == list(expected)[-len(store.items) :] or not expected


def test_without_a_store_room_is_the_bound():
    queue = Queue(room=2)
    queue.append(1)
    assert not queue.full
    queue.append(2)
    assert queue.full
    queue.record()
    assert list(queue) == [1, 2]


@pytest.mark.parametrize(("error", "full"), [(None, False), ("disk full", True)])
def test_a_broken_store_leaves_the_room_in_memory(error, full):
    store = ListStore()
    store.recording, store.error = True, error
    queue = Queue(room=10, memory=2, store=store)
    for item in range(3):
        queue.append(item)
    assert queue.full is full


def test_what_a_store_holds_from_before_waits_again():
    store = ListStore()
    store.items.extend(range(10))
    store.recording = True
    queue = Queue(room=100, memory=4, store=store)
    queue.restore(10, 7)
    assert (len(queue), queue.in_memory, list(queue)) == (10, 4, [0, 1, 2, 3])
    queue.append(10)
    seen = []
    while queue:
        seen.append(queue[0])
        queue.release(1)
    assert seen == list(range(11))
